"""`genvm-manager completion` in a real shell, and the ids that it completes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.operator import Terminal
from tests.support.service import GENVM_MANAGER, RunningService
from tests.support.waiting import TIMEOUT

BASH = shutil.which("bash")
ASK = """
eval "$(genvm-manager completion bash)"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_genvm_manager_completion genvm-manager
printf '%s\\n' "${COMPREPLY[@]}"
"""

pytestmark = pytest.mark.skipif(BASH is None, reason="there is no bash here")


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 1, permits: {total: 3}}") as running:
        yield running


def environment(service: RunningService) -> dict[str, str]:
    return service.environment | {"PATH": f"{Path(GENVM_MANAGER).parent}:/usr/bin:/bin"}


def completed(service: RunningService, *arguments: str) -> list[str]:
    """What bash offers for the last of the words."""
    assert BASH is not None
    ended = subprocess.run(
        [BASH, "--norc", "-c", ASK, "bash", "genvm-manager", *arguments],
        capture_output=True,
        text=True,
        env=environment(service),
        check=True,
        timeout=TIMEOUT,
    )
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("arguments", "offered"),
    [
        (["st"], ["status"]),
        (["d"], ["demo", "detect-version", "doctor"]),
        (["module", ""], ["restart", "start", "status", "stop"]),
        (["module", "start", "l"], ["llm"]),
        (["log-level", "w"], ["warn"]),
        (["ps", "--a"], ["--all"]),
    ],
)
def test_commands_options_and_words(
    service: RunningService, arguments: list[str], offered: list[str]
) -> None:
    assert sorted(completed(service, *arguments)) == offered


def test_ids_of_runs(service: RunningService) -> None:
    run_id = service.start_run({"sleep_ms": 600_000})
    assert completed(service, "kill", "--state-dir", str(service.state), "") == [str(run_id)]
    assert completed(service, "kill", "--url", "http://127.0.0.1:9", "") == []
    service.client.cancel(run_id, grace_ms=0)


def test_the_tab_key_of_an_interactive_bash(service: RunningService) -> None:
    assert BASH is not None
    terminal = Terminal([BASH, "--norc", "--noprofile", "-i"], environment(service))
    try:
        terminal.press('PS1="ready> "; eval "$(genvm-manager completion bash)"\n')
        terminal.shows("hready> ")
        terminal.press("genvm-manager detec\t")
        terminal.shows("genvm-manager detect-version")
        terminal.press("--help\n")
        terminal.shows("Show which major version of the executor")
    finally:
        terminal.close()


@pytest.mark.parametrize(("shell", "mark"), [("zsh", "#compdef"), ("fish", "complete ")])
def test_other_shells_have_their_script(shell: str, mark: str) -> None:
    ended = subprocess.run(
        [GENVM_MANAGER, "completion", shell],
        capture_output=True,
        text=True,
        env=os.environ,
        check=True,
    )
    assert mark in ended.stdout
    assert "_GENVM_MANAGER_COMPLETE" in ended.stdout
