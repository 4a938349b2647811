"""Commands whose output goes nowhere: a full disk, a closed stdout, a reader that has gone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.operator import DEADLINE
from tests.support.service import GENVM_MANAGER, RunningService

FULL = "no room"
CLOSED = ">&-"
SENTENCES = {
    FULL: "Error: stdout cannot be written: No space left on device; the output is incomplete, "
    "send it elsewhere\n",
    CLOSED: "Error: stdout cannot be written: it is closed; the output is incomplete, "
    "send it elsewhere\n",
}
WITHOUT_SERVICE = [["--help"], ["--version"], ["completion", "bash"], ["schema", "--help"]]
WITH_SERVICE = [
    ["status"],
    ["status", "--json"],
    ["ps", "--all"],
    ["ps", "--all", "--json"],
    ["top", "--json"],
    ["logs", "1"],
    ["wait", "1"],
    ["permits"],
    ["module", "status"],
    ["kill", "99999", "--json"],
]


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    """With one run that is over and has written something."""
    with RunningService(config="{http_workers: 1}") as running:
        run_id = running.start_run({"print": "words\n" * 40_000})
        assert running.client.get_run(run_id, wait=DEADLINE).status
        yield running


def ends(
    arguments: Sequence[str], stdout: str, environment: dict[str, str] | None = None
) -> tuple[int, str]:
    """The exit code of a command, and what it says on stderr."""
    script = '"$@" >&-' if stdout == CLOSED else 'exec "$@" >/dev/full'
    ended = subprocess.run(
        ["/bin/sh", "-c", script, "sh", GENVM_MANAGER, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        timeout=DEADLINE,
        check=False,
    )
    return ended.returncode, ended.stderr


def ends_unread(
    arguments: Sequence[str], environment: dict[str, str] | None = None
) -> tuple[int, str]:
    """The same, where the one who was to read has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [GENVM_MANAGER, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            timeout=DEADLINE,
            check=False,
        )
    finally:
        os.close(writer)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("arguments", WITHOUT_SERVICE, ids=" ".join)
def test_help_that_cannot_be_written_is_an_error_of_its_own(arguments: list[str]) -> None:
    for stdout, sentence in SENTENCES.items():
        assert ends(arguments, stdout) == (74, sentence)
    assert ends_unread(arguments) == (141, "")


@pytest.mark.parametrize("arguments", WITH_SERVICE, ids=" ".join)
def test_so_is_what_a_command_prints(service: RunningService, arguments: list[str]) -> None:
    typed = [*arguments, "--state-dir", str(service.state)]
    for stdout, sentence in SENTENCES.items():
        assert ends(typed, stdout, service.environment) == (74, sentence)
    assert ends_unread(typed, service.environment) == (141, "")


def test_a_command_with_no_stream_at_all_does_its_work(service: RunningService) -> None:
    before = service.client.permits().max
    typed = [GENVM_MANAGER, "permits", str(before + 1), "--state-dir", str(service.state)]
    closing = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    ended = subprocess.run(
        [*closing, *typed], env=service.environment, timeout=DEADLINE, check=False
    )
    assert ended.returncode == 74
    assert service.client.permits().max == before + 1


def test_a_full_stderr_changes_no_exit_code(service: RunningService) -> None:
    for arguments, code in ((["kill", "99999"], 66), (["nonsense"], 2), (["--version"], 0)):
        where = ["--state-dir", str(service.state)] if arguments[0] == "kill" else []
        with Path("/dev/full").open("w") as full:
            ended = subprocess.run(
                [GENVM_MANAGER, *arguments, *where],
                stdout=subprocess.DEVNULL,
                stderr=full,
                env=service.environment,
                timeout=DEADLINE,
                check=False,
            )
        assert ended.returncode == code


def test_a_slow_reader_behind_a_pipe_that_does_not_block_gets_all(service: RunningService) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    typed = [GENVM_MANAGER, "logs", "1", "--only", "stdout", "--state-dir", str(service.state)]
    with subprocess.Popen(typed, stdout=writer, env=service.environment) as command:
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            content = pipe.read()
        assert command.wait(DEADLINE) == 0
    assert content == b"words\n" * 40_000


@pytest.mark.parametrize("streams", [">/dev/full 2>/dev/full", "<&- >&- 2>&-"])
def test_a_service_serves_all_the_same(streams: str) -> None:
    service = RunningService(config="{http_workers: 1, permits: {total: 1}}")
    try:
        service.start(before=["/bin/sh", "-c", f'exec "$@" {streams}', "sh"])
        run_id = service.start_run({"exit": 7})
        ended = service.client.get_run(run_id, wait=DEADLINE).status
        assert ended is not None
        assert ended.exit_code == 7
        assert service.stop() == 0
        service.assert_nothing_left()
    finally:
        service.discard()
