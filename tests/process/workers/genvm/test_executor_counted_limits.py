"""Limits of the machine that are counted: the same on every processor, with every native stack.

Source: docs/spec/06-contracts.md#the-machine.
"""

from __future__ import annotations

import pytest
import wasmtime

from genvm_manager.protocol import calldata
from genvm_manager.workers.genvm.engine.instrumentation import MAX_FRAMES
from tests.support.archives import described, zipped
from tests.support.calls import Chain
from tests.support.module_server import prompts
from tests.support.node_host import BUILT_IN
from tests.support.nondet import blocks, lead
from tests.support.nondet import result as result_of
from tests.support.wat import Contract

TINY_STACK = ("sh", "-c", 'ulimit -s 256; exec "$0" "$@"', *BUILT_IN)
HUGE_STACK = ("sh", "-c", 'ulimit -s unlimited 2>/dev/null; exec "$0" "$@"', *BUILT_IN)
OVERFLOW = ("VM_ERROR", "wasm_trap stack_overflow")
FLOAT = "(drop (f64.mul (f64.const 1.5) (f64.const 2)))"


def recursive(depth: int, locals_: int = 0) -> bytes:
    """Return a contract that has `depth` frames open at a time, and then ends with status 7."""
    declared = "(local" + " v128" * locals_ + ")" if locals_ else ""
    used = "".join(
        f"(local.set {number} (i32x4.splat (local.get 0)))" for number in range(1, locals_ + 1)
    )
    return Contract().wasm(
        f"(call $down (i32.const {depth - 1})) (call $exit (i32.const 7))",
        f"""(func $down (param i32) {declared} {used}
          (if (i32.gt_u (local.get 0) (i32.const 1))
            (then (call $down (i32.sub (local.get 0) (i32.const 1))))))""",
    )


@pytest.mark.parametrize("command", [BUILT_IN, TINY_STACK, HUGE_STACK])
@pytest.mark.parametrize("locals_", [0, 500])
def test_frames_are_counted_whatever_the_native_stack(
    chain: Chain, command: tuple[str, ...], locals_: int
) -> None:
    outcomes = [
        chain.outcome(recursive(MAX_FRAMES + more, locals_), command=command) for more in (0, 1)
    ]
    assert outcomes == [("VM_ERROR", "exit_code 7"), OVERFLOW]


def test_each_guest_inside_another_counts_its_own_frames(chain: Chain) -> None:
    contract = Contract()
    call = contract.gl_call({"Sandbox": {"allow_write_ops": False, "data": b""}})
    wasm = contract.wasm(
        "(call $down (i32.const 1000)) (call $exit (i32.const 0))",
        f"""(func $down (param i32)
          (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))
            (else (drop {call}))))""",
    )
    assert chain.outcome(wasm) == ("RETURN", None)


def test_a_float_ends_a_deterministic_machine_when_it_is_reached(chain: Chain) -> None:
    contract = Contract()
    printed = contract.place(b"before")
    print_it = (
        f"(i32.store (i32.const 200) (i32.const {printed})) (i32.store (i32.const 204)"
        " (i32.const 6)) (drop (call $fd_write (i32.const 1) (i32.const 200) (i32.const 1)"
        " (i32.const 208)))"
    )
    ended = chain.run({}, contract.wasm(print_it + FLOAT))
    assert ended.stdout == b"before"
    assert ended.result is not None
    assert ended.result.data == "wasm_trap floating_point"


def test_a_float_that_is_not_reached_ends_nothing(chain: Chain) -> None:
    wasm = Contract().wasm(f"(if (local.get $i) (then {FLOAT}))")
    assert chain.outcome(wasm) == ("RETURN", None)


def test_floats_run_in_a_nondet_block_of_the_same_contract(chain: Chain) -> None:
    contract = Contract()
    give = f"(drop {contract.gl_call({'Return': 3})})"
    ended = lead(chain, blocks(contract, lead=FLOAT + give), prompts(str))
    assert result_of(ended).nondet_results == [b"\0" + calldata.encode(3)]


def test_a_float_of_a_linked_module_ends_the_program(chain: Chain) -> None:
    library = bytes(
        wasmtime.wat2wasm(f'(module $lib (memory 1) (func $f {FLOAT}) (export "f" (func $f)))')
    )
    main = bytes(
        wasmtime.wat2wasm(
            '(module (import "lib" "f" (func $f)) (memory (export "memory") 1)'
            ' (func (export "_start") (call $f)))'
        )
    )
    actions = {"Seq": [{"LinkWasm": "lib.wasm"}, {"StartWasm": "m.wasm"}]}
    code = zipped(described(actions, {"lib.wasm": library, "m.wasm": main}))
    assert chain.outcome(code) == ("VM_ERROR", "wasm_trap floating_point")


RECURSIONS = {
    "calls": "def f(n):\n    return f(n + 1)\n",
    "lists": "def f(n):\n    x = []\n    for _ in range(9999):\n        x = [x]\n    repr(x)\n",
    "json": "import json\ndef f(n):\n    json.loads('[' * 99999)\n",
    "code": "def f(n):\n    compile('-' * 99999 + '1', '', 'eval')\n",
    "map": "def f(n):\n    list(map(f, [n]))\n",
    "sorted": "def f(n):\n    sorted([1, 2], key=f)\n",
    "repr": "class R:\n def __repr__(self):\n  return repr(self)\nf = lambda n: repr(R())\n",
    "eq": "class E:\n def __eq__(self, x):\n  return self == x\nf = lambda n: E() == E()\n",
    "attribute": (
        "class A:\n    def __getattr__(self, name):\n        return getattr(self, name + 'a')\n"
        "def f(n):\n    A().a\n"
    ),
    "init": "class I:\n    def __init__(self):\n        I()\ndef f(n):\n    I()\n",
    "eval": "def f(n):\n    eval('f(n + 1)')\n",
}
UNCOUNTED = "def f(n):\n    x = ()\n    for _ in range(999_999):\n        x = (x,)\n    hash(x)\n"
DEEP = """# { "Depends": "py-genlayer:test" }
from genlayer import *
%s
class Deep(gl.Contract):
    def __init__(self):
        try:
            f(0)
        except (RecursionError, MemoryError) as error:
            print(type(error).__name__)
"""


@pytest.mark.parametrize("name", RECURSIONS)
@pytest.mark.parametrize("command", [BUILT_IN, TINY_STACK])
def test_recursion_in_python_is_an_error_to_catch(
    chain: Chain, name: str, command: tuple[str, ...]
) -> None:
    ended = chain.run({}, (DEEP % RECURSIONS[name]).encode(), command=command)
    assert ended.stdout in {b"RecursionError\n", b"MemoryError\n"}, ended
    assert ended.result is not None
    assert ended.result.code.name == "RETURN"


def test_recursion_that_python_does_not_count_is_the_same_trap_everywhere(chain: Chain) -> None:
    """It leaves the interpreter's memory, which is as large on every processor."""
    code = (DEEP % UNCOUNTED).encode()
    first, second = (chain.outcome(code, command=each) for each in (BUILT_IN, TINY_STACK))
    assert first == second
    assert first[1].startswith("wasm_trap ")
