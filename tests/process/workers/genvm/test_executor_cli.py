"""The executor's command line, as manifests and operators use it.

Source: docs/spec/04-executor.md#command-line.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.calls import Chain
from tests.support.measuring import not_while_measured
from tests.support.node_host import BUILT_IN
from tests.support.waiting import TIMEOUT
from tests.support.wat import returns


def genvm(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*BUILT_IN, *arguments], input=stdin, capture_output=True, timeout=TIMEOUT, check=False
    )


SLOW_TO_IMPORT = {"asyncio", "dataclasses", "inspect", "logging", "msgspec", "yaml"}


@not_while_measured
def test_a_run_imports_nothing_that_is_slow_to_import() -> None:
    program = "import sys, genvm_manager.workers.genvm.run.run; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert not SLOW_TO_IMPORT & set(ended.stdout.decode().split())


@pytest.mark.parametrize(
    "address", ["ws://127.0.0.1:3031", "fd://", "fd://x", "5", "fd://9999999999"]
)
def test_modules_are_inherited_sockets(address: str) -> None:
    ended = genvm("run", "--host=fd://0", "--genvm-id=1", f"--module-llm={address}")
    assert ended.returncode == 2
    assert f"{address!r}: expected fd:// and a descriptor's number" in ended.stderr.decode()


@pytest.mark.parametrize(
    ("code", "version"), [(b"# v0.2.16\n# {}", "v0.2.16"), (b"print(1)", "v0.0.0"), (b"", "v0.0.0")]
)
def test_parse_version_pattern(code: bytes, version: str) -> None:
    ended = genvm("parse-version-pattern", stdin=code)
    assert (ended.returncode, ended.stdout.decode().strip()) == (0, version)


def test_check_says_what_is_whole_and_what_is_not(tmp_path: Path) -> None:
    ended = genvm(f"--cache-dir={tmp_path}", "check")
    report = ended.stdout.decode()
    assert ended.returncode == 0
    assert "ok       CPython 3.12 for WASI: file present" in report
    assert "missing  CPython 3.12 for WASI: compiled" in report
    assert "check --precompile" in report


def test_check_names_a_cache_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    ended = genvm(f"--cache-dir={tmp_path / 'file'}", "check")
    assert ended.returncode == 0
    uncached = [line for line in ended.stdout.decode().splitlines() if line.startswith("uncached ")]
    assert uncached == [
        f"uncached the cache is not used: {tmp_path / 'file' / name}: Not a directory"
        for name in ("cpython", "library")
    ]


@pytest.mark.parametrize(
    ("extra_args", "debug"),
    [
        ([], False),
        (["--debug-mode"], True),
        (["--debug-mode", "safe"], True),
        (["--debug-mode=disabled"], False),
    ],
)
def test_debug_mode_with_and_without_level(
    chain: Chain, extra_args: list[str], debug: bool
) -> None:
    ended = chain.run({}, returns(1), extra_args=extra_args)
    assert ended.result is not None
    assert any(record["level"] == "debug" for record in ended.log) is debug


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "--host=unix:///x"], "--genvm-id"),
        (["run", "--host=unix:///x", "--genvm-id=1", "--permissions=rq"], "'q'"),
        (["--memory-limit=0", "check"], "--memory-limit"),
        (["--max-seconds=soon", "check"], "--max-seconds"),
        ([], "command"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], named: str) -> None:
    ended = genvm(*arguments)
    assert ended.returncode == 2
    assert named in ended.stderr.decode()
