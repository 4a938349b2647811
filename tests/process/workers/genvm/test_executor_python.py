"""Python contracts in the real executor: the guest's world, its limits, its ends.

Source: docs/spec/06-contracts.md.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from genvm_manager.protocol.run_result import ResultCode
from tests.support.calls import Chain, options

HEADER = '# { "Depends": "py-genlayer:test" }\n'

PROBE = (
    HEADER
    + """
import os, posix, random, sys, time
from genlayer import *

class Probe(gl.Contract):
    @gl.public.view
    def world(self) -> str:
        return repr((sys.path, sys.argv, dict(os.environ), os.getcwd(), os.listdir("/"),
                     time.time(), time.monotonic(), random.random(), os.urandom(8), id(object()),
                     hash("a"), {"a", "b", "c"}))

    @gl.public.view
    def files(self) -> list:
        refused = []
        for path, mode in [("/etc/passwd", "r"), ("../../etc/passwd", "r"), ("/dev/null", "r"),
                           ("/x", "w"), ("/contract.py", "r+"), ("/contract.py", "a")]:
            try:
                open(path, mode)
            except OSError as error:
                refused.append(path + mode)
        for change in (lambda: os.mkdir("/d"), lambda: os.unlink("/contract.py"),
                       lambda: os.rename("/contract.py", "/c"), lambda: os.symlink("/", "/e")):
            try:
                change()
            except OSError as error:
                refused.append(error.errno)
        return refused

    @gl.public.view
    def frames(self) -> list:
        host = os.open("/genvm/host", os.O_RDWR)
        answers = []
        for frame in [b"", b"\\x00", b"\\x63", bytes(41), b"\\x02short", b"\\x04\\xff",
                      bytes(33) + bytes(4) + b"\\xff\\xff\\xff\\xff",
                      b"\\1" + bytes(36) + b"\\1" + bytes(3)]:
            try:
                os.write(host, frame)
                answers.append(os.read(host, 100))
            except OSError as error:
                answers.append([error.errno, os.read(host, 100)])
        return answers

    @gl.public.view
    def talk(self) -> None:
        print("to stdout")
        print("to stderr", file=sys.stderr)

    @gl.public.view
    def leave(self, status: int) -> None:
        sys.exit(status)

    @gl.public.view
    def fail(self) -> None:
        raise KeyError("what went wrong")

    @gl.public.view
    def recurse(self) -> None:
        self.recurse()

    @gl.public.view
    def recurse_in_c(self) -> bool:
        class Endless:
            def __eq__(self, other):
                return self == other
        return Endless() == Endless()

    @gl.public.view
    def allocate(self) -> None:
        kept = []
        while True:
            kept.append(bytearray(1 << 20))

    @gl.public.view
    def loop(self) -> None:
        while True:
            pass
"""
).encode()


@pytest.fixture
def probe(chain: Chain) -> Chain:
    """Return a chain with the contract above deployed."""
    assert chain.result({}, PROBE).code is ResultCode.RETURN
    return chain


def call(method: str, *args: Any) -> dict[str, Any]:
    return {"method": method, "args": list(args)}


def test_world_of_a_guest_is_the_same_on_every_machine(probe: Chain, tmp_path: Path) -> None:
    import sys  # noqa: PLC0415

    elsewhere = {"PYTHONPATH": ":".join(sys.path), "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    here = probe.result(call("world"))
    there = probe.result(call("world"), environment=elsewhere, options=options(seconds=60))
    assert here.data == there.data
    assert here.execution_hash == there.execution_hash
    assert "1770091506.0" in here.data
    assert "['contract.py', 'genvm']" in here.data


def test_guest_reads_only_its_own_files_and_writes_none(probe: Chain) -> None:
    refused = probe.result(call("files")).data
    assert refused == [
        "/etc/passwdr",
        "../../etc/passwdr",
        "/dev/nullr",
        "/xw",
        "/contract.pyr+",
        "/contract.pya",
        *[69] * 4,
    ]


def test_rubbish_on_the_bridge_is_answered_with_an_error(probe: Chain) -> None:
    answers = probe.result(call("frames")).data
    refused = [2, 2, 2, None, 2, 2, 1, 2]
    assert answers == [b"" if code is None else [29, bytes([code])] for code in refused]


def test_prints_reach_the_outside(probe: Chain) -> None:
    ended = probe.run(call("talk"))
    assert (ended.stdout, ended.stderr) == (b"to stdout\n", b"to stderr\n")


@pytest.mark.parametrize(
    ("method", "args", "error"),
    [
        ("leave", [7], "exit_code 7"),
        ("fail", [], "exit_code 1"),
        ("recurse", [], "exit_code 1"),
        ("recurse_in_c", [], "exit_code 1"),
    ],
)
def test_ends_of_a_python_contract(probe: Chain, method: str, args: list[Any], error: str) -> None:
    result = probe.result(call(method, *args))
    assert (result.code, result.data) == (ResultCode.VM_ERROR, error)


def test_exception_leaves_its_traceback_on_stderr(probe: Chain) -> None:
    stderr = probe.run(call("fail")).stderr.decode()
    assert 'raise KeyError("what went wrong")' in stderr
    assert 'File "contract.py"' in stderr


@pytest.mark.parametrize(
    ("method", "limit", "error"),
    [("allocate", options(memory=64 << 20), "OOM memory"), ("loop", options(seconds=1), "timeout")],
)
def test_limits_hold(probe: Chain, method: str, limit: list[str], error: str) -> None:
    result = probe.result(call(method), options=limit)
    assert (result.code, result.data) == (ResultCode.VM_ERROR, error)


def test_contract_of_several_files(chain: Chain) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("runner.json", '{"Depends": "py-genlayer-multi:test"}')
        archive.writestr("contract/words.txt", "from a file")
        archive.writestr(
            "contract/__init__.py",
            "from genlayer import *\n"
            "class Multi(gl.Contract):\n"
            "    @gl.public.view\n"
            "    def words(self) -> str:\n"
            "        return open('/contract/words.txt').read()\n",
        )
    chain.result({}, buffer.getvalue())
    assert chain.result(call("words")).data == "from a file"
