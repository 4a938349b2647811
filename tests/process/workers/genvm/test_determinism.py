"""One call on different machines: what a contract observes, prints, stores and returns is the same.

A machine here is a process: its hash seed, locale, time zone, working directory, umask, limits,
environment, and whether anything was compiled before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.node_host import BUILT_IN
from tests.support.python_contracts import Contract, Outcome, running_chain

SOURCE = """
import hashlib
import json
import os
import random
import sys
import time
import traceback
import uuid
from genlayer import *
from genlayer._machine.shipping import ship

class Plain:
    pass

class Looking(gl.Contract):
    seen: DynArray[str]
    numbers: TreeMap[str, u256]

    def __init__(self):
        self.seen.append("nothing yet")

    @gl.public.write
    def look(self) -> str:
        block = {}
        block["strict"] = gl.eq_principle.strict_eq(lambda: text_of([in_process(), of_objects()]))
        block["sandbox"] = gl.vm.spawn_sandbox(lambda: text_of(everything())).calldata
        block["main"] = everything()
        block["shipped"] = self.shipped()
        text = text_of(block)
        self.seen.append(text)
        for word in {"some", "words", "in", "a", "set"}:
            self.numbers[word] = u256(len(self.numbers))
        print(text)
        try:
            self.fail()
        except Exception:
            print(traceback.format_exc())
        traceback.print_stack()
        return text

    def shipped(self):
        class Local:
            held = {"some", "words", 1.5}
        one = Local()
        shipped = [ship(lambda: one.held), ship(lambda: [self.seen, Local, everything, {"a", "b"}])]
        return [hashlib.sha256(each).hexdigest() for each in shipped]

    @gl.public.write
    def overflow(self, depth: int):
        sys.setrecursionlimit(1 << 20)
        return sorts(depth)

    def fail(self):
        raise ValueError(Plain(), self.fail, {"a", "b", "c", 1.5})

def text_of(value):
    return json.dumps(value, default=repr)

def everything():
    return [in_process(), of_objects(), of_depth(), of_files(), of_time()]

def in_process():
    return [
        dict(os.environ), sys.argv, sys.path, sys.getrecursionlimit(), os.getcwd(),
        list(sys.modules), str(sys.flags), sys.version, sys.platform, os.uname()[:1] == 1 if
        hasattr(os, "uname") else None, sys.getfilesystemencoding(), sys.stdout.encoding,
        sys.getallocatedblocks() > 0, repr(sys.stdin), repr(sys.stdout), sys.getswitchinterval(),
        sys.maxsize, repr(sys.float_info), sys.executable, sys.prefix, sys.warnoptions,
    ]

def of_objects():
    return [
        repr(Plain()), id(Plain()), id(gl), hash("text"), hash(b"bytes"), hash(Plain()),
        hash((1, None)), list({"x", "y", "z", b"w", 1.5, (1, 2)}), repr(gl.Contract),
        repr(object()), 0.1 + 0.2, 1e22 / 3, float("nan"), repr(lambda: 1), str(sys._getframe()),
        sys.getsizeof({}), [type(each).__name__ for each in Plain.__mro__],
    ]

def of_depth():
    return [depth_of(calls), depth_of(lists), depth_of(parsed), depth_of(texts)]

def depth_of(attempt):
    depth = 1
    while depth < 1 << 14:
        try:
            attempt(depth)
        except Exception as error:
            return [depth, type(error).__name__, str(error)]
        depth *= 2
    return depth

def calls(depth):
    return depth and calls(depth - 1)

def lists(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return json.dumps(value)

def texts(depth):
    return json.loads("[" * depth + "]" * depth)

def parsed(depth):
    return compile("(" * min(depth, 190) + "1" + ")" * min(depth, 190) + "+ 1" * depth, "x", "eval")

def sorts(depth):
    return sorted([1], key=lambda n: sorts(depth - 1) and n if depth else n)

def of_files():
    found = []
    for folder in ("/", "/genvm", "/genvm/lib/python3.12", "/genvm/genlayer"):
        found.append([folder, os.listdir(folder), list(os.stat(folder))])
    found.append(list(os.stat("/contract.py")))
    for path in ("/missing", "/genvm/host"):
        try:
            found.append(len(open(path).read()))
        except Exception as error:
            found.append(repr(error))
    return found

def of_time():
    return [
        time.time(), time.monotonic(), time.perf_counter(), time.process_time(),
        time.localtime()[:], time.tzname, time.timezone, time.strftime("%c %Z"),
        random.random(), random.choice(range(10**6)), str(uuid.uuid4()), os.urandom(8).hex(),
    ]
"""

SHELL = ("sh", "-c", 'eval "$1"; shift; exec "$@"', "sh")

MACHINES: dict[str, dict[str, Any]] = {
    "another hash seed": {"variables": {"PYTHONHASHSEED": "271828"}},
    "another locale": {"variables": {"LC_ALL": "tr_TR.ISO-8859-9", "LANG": "C", "PYTHONUTF8": "0"}},
    "another time zone": {"variables": {"TZ": "Asia/Kathmandu"}},
    "another folder and umask": {"shell": "cd /; umask 077"},
    "narrow limits": {"shell": "ulimit -s 512; ulimit -n 40; ulimit -c 0; ulimit -l 0"},
    "wide limits": {"shell": 'ulimit -s "$(ulimit -H -s)"; ulimit -n "$(ulimit -H -n)"'},
    "one processor": {"shell": "nice -n 5 true", "wrapper": ("taskset", "1")},
    "much in the environment": {"variables": {f"PYTHON_NO_{n}": "x" * 999 for n in range(99)}},
    "optimised": {"variables": {"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1"}},
}


@pytest.fixture(scope="module")
def contract() -> Iterator[Contract]:
    with running_chain() as chain:
        yield chain.deploy(SOURCE)


@pytest.fixture(scope="module")
def usual(contract: Contract) -> Outcome:
    """Return the call as the leader, on this machine as it is, with all compiled before."""
    return on_a_machine(contract)


def on_a_machine(
    contract: Contract,
    call: dict[str, Any] | None = None,
    *,
    shell: str = "",
    wrapper: tuple[str, ...] = (),
    variables: dict[str, str] | None = None,
    **how: Any,
) -> Outcome:
    """Return one call. `shell` is run, and `variables` are set, before."""
    settings = (*wrapper, "env", *(f"{name}={value}" for name, value in (variables or {}).items()))
    command = (*SHELL, shell or ":", *settings, *BUILT_IN)
    return contract.attempt(call or {"method": "look"}, command=command, **how)


def observed(outcome: Outcome) -> dict[str, Any]:
    """Return all that a machine's run tells others."""
    outcome.returned()
    return {
        "result": outcome.result,
        "stdout": outcome.ended.stdout,
        "stderr": outcome.ended.stderr,
        "exit": outcome.ended.exit_code,
    }


@pytest.mark.parametrize("machine", MACHINES)
def test_a_call_is_the_same_on(machine: str, contract: Contract, usual: Outcome) -> None:
    assert observed(on_a_machine(contract, **MACHINES[machine])) == observed(usual)


def test_a_call_is_the_same_with_nothing_compiled_before(
    contract: Contract, usual: Outcome, tmp_path: Path
) -> None:
    cold = on_a_machine(contract, options=[f"--cache-dir={tmp_path}"])
    assert (tmp_path / "library").exists()
    assert observed(cold) == observed(usual)


def test_validators_say_the_same_and_end_as_the_leader(contract: Contract, usual: Outcome) -> None:
    """The block shows addresses, which may be others in the machine that judges it."""
    theirs = usual.result.nondet_results
    first = on_a_machine(contract, leader_results=theirs)
    other = on_a_machine(contract, **MACHINES["another hash seed"], leader_results=theirs)
    assert observed(first) == observed(other)
    assert first.result.execution_hash == usual.result.execution_hash


def test_a_stack_overflows_at_the_same_depth_everywhere(contract: Contract) -> None:
    """Python calls through C fill the stack that CPython has in its own memory."""

    def deepest(**machine: Any) -> list[tuple[Any, ...]]:
        depths = (8, 64, 512, 4096)
        calls = [{"method": "overflow", "args": [depth]} for depth in depths]
        ended = [on_a_machine(contract, call, **machine).result for call in calls]
        return [(each.code, each.data, each.execution_hash) for each in ended]

    usual = deepest()
    assert len({code for code, *_ in usual}) == 2, usual
    assert deepest(**MACHINES["narrow limits"]) == usual
    assert deepest(**MACHINES["wide limits"]) == usual
