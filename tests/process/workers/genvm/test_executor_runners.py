"""Contracts with runner descriptions in the real executor.

Source: docs/spec/06-contracts.md#runners.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from tests.support.archives import described, tar, zipped
from tests.support.calls import Chain
from tests.support.wat import Contract, returns

PYTHON = {"Depends": "py-genlayer:test"}
START = {"StartWasm": "m.wasm"}
CONTRACT = """
import os
from genlayer import *

class Reads(gl.Contract):
    def __init__(self):
        print(open("/data.txt").read(), os.environ.get("GIVEN"))
"""
LIBRARY = """(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $ready (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $ready (i32.const 40)))
  (func (export "more") (param i32) (result i32)
    (drop (call $random (i32.const 0) (i32.const 8)))
    (i32.add (local.get 0) (global.get $ready)))
  (func (export "random") (result i32) (i32.load (i32.const 0))))"""


def contract(*actions: Any, **files: bytes) -> bytes:
    return zipped(described({"Seq": list(actions)}, files))


def wasm(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def exits_with_more(number: int, name: str) -> bytes:
    """Return a module that ends with the status that the library's `more` gives for a number."""
    return wasm(
        f'(module (import "{name}" "more" (func $more (param i32) (result i32)))'
        ' (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
        f' (memory (export "memory") 1) (func (export "_start") (call $exit (call $more'
        f" (i32.const {number})))))"
    )


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "runners"
    folder.mkdir()
    return folder


def options(own: Path) -> Sequence[str]:
    return ["--runners-dir", str(own)]


def put(own: Path, name: str, description: Any, **files: bytes) -> None:
    path = own / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(tar(described(description, files)))


def test_a_python_contract_finds_what_was_set_up_before_it(chain: Chain, own: Path) -> None:
    data = {"MapFile": {"file": "data", "to": "/data.txt"}}
    put(own, "given/1.tar", {"Seq": [data, {"AddEnv": {"name": "GIVEN", "val": "here"}}]},
        data=b"of the runner")  # fmt: skip
    code = contract({"Depends": "given:1"}, PYTHON, file=CONTRACT.encode())
    ended = chain.run({}, code, options=options(own))
    assert ended.stdout == b"of the runner here\n", ended


def test_a_python_contract_imports_a_library_from_a_runner(chain: Chain, own: Path) -> None:
    folder = {"MapFile": {"file": "lib/", "to": "/libs/"}}
    path = {"AddEnv": {"name": "PYTHONPATH", "val": "/libs"}}
    put(own, "py-lib-greet/1.tar", {"Seq": [folder, path]},
        **{"lib/greet/__init__.py": b"HELLO = 'hello'\n"})  # fmt: skip
    both = described({"Seq": [{"Depends": "py-lib-greet:1"}, PYTHON]})["runner.json"].decode()
    source = "from genlayer import *\nimport greet\nprint(greet.HELLO)\n"
    text = f"# {both}\n{source}class C(gl.Contract):\n  x: u8\n"
    assert chain.run({}, text.encode(), options=options(own)).stdout == b"hello\n"


def test_a_runner_that_is_nowhere_is_named_in_the_log(chain: Chain, own: Path) -> None:
    ended = chain.run({}, contract({"Depends": "absent:1"}), options=options(own))
    assert ended.result is not None
    assert ended.result.data == "invalid_contract"
    assert "the runner 'absent:1' is unknown" in ended.log[-1]["message"]


def test_an_archive_that_cannot_be_read_ends_as_an_internal_error(chain: Chain, own: Path) -> None:
    (own / "lib" / "1.tar").mkdir(parents=True)
    ended = chain.run({}, contract({"Depends": "lib:1"}), options=options(own))
    assert ended.result is not None
    assert ended.result.code.name == "INTERNAL_ERROR"
    assert "lib/1.tar" in ended.result.data


@pytest.mark.parametrize("name", ["math.wasm", "calc"])
def test_a_module_imports_from_one_that_is_linked(chain: Chain, name: str) -> None:
    library = LIBRARY if name == "math.wasm" else LIBRARY.replace("(module", f"(module ${name}", 1)
    code = contract(
        {"LinkWasm": "math.wasm"},
        START,
        **{"math.wasm": wasm(library), "m.wasm": exits_with_more(2, name)},
    )
    assert chain.outcome(code) == ("VM_ERROR", "exit_code 42")


def test_the_memory_of_a_call_is_that_of_the_module_that_makes_it(chain: Chain) -> None:
    """The library gets its random bytes into its own memory, and then the program into its own."""
    main = wasm(
        '(module (import "math.wasm" "more" (func $more (param i32) (result i32)))'
        ' (import "math.wasm" "random" (func $random (result i32)))'
        ' (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
        ' (import "wasi_snapshot_preview1" "random_get" (func $get (param i32 i32) (result i32)))'
        ' (memory (export "memory") 1) (func (export "_start")'
        " (drop (call $more (i32.const 0)))"
        " (call $exit (i32.or (i32.shl (i32.ne (call $random) (i32.const 0)) (i32.const 1))"
        " (i32.eq (i32.load (i32.const 0)) (i32.const 0))))))"
    )
    code = contract(
        {"LinkWasm": "math.wasm"}, START, **{"math.wasm": wasm(LIBRARY), "m.wasm": main}
    )
    assert chain.outcome(code) == ("VM_ERROR", "exit_code 3")


@pytest.mark.parametrize(
    ("library", "main"),
    [
        (LIBRARY, exits_with_more(2, "other")),
        (LIBRARY.replace("more", "less"), exits_with_more(2, "math.wasm")),
        (LIBRARY.replace("(param i32) (result i32)\n", "(param i64) (result i32)\n").replace(
            "(i32.add (local.get 0)", "(i32.add (i32.wrap_i64 (local.get 0))"),
         exits_with_more(2, "math.wasm")),
        (LIBRARY.replace("(module", "(module $genlayer_sdk", 1), exits_with_more(2, "math.wasm")),
    ],
)  # fmt: skip
def test_what_cannot_be_linked_is_refused(chain: Chain, library: str, main: bytes) -> None:
    code = contract(
        {"LinkWasm": "math.wasm"}, START, **{"math.wasm": wasm(library), "m.wasm": main}
    )
    assert chain.outcome(code) == ("VM_ERROR", "invalid_contract wasm linking")


def test_a_library_that_is_no_webassembly_is_refused(chain: Chain) -> None:
    code = contract({"LinkWasm": "a"}, START, **{"a": b"\0asm", "m.wasm": returns(1)})
    assert chain.outcome(code) == ("VM_ERROR", "invalid_contract wasm validating")


def test_a_trap_of_a_linked_module_is_the_program_s_own(chain: Chain) -> None:
    library = LIBRARY.replace("(i32.add (local.get 0) (global.get $ready))", "unreachable")
    code = contract(
        {"LinkWasm": "math.wasm"}, START,
        **{"math.wasm": wasm(library), "m.wasm": exits_with_more(2, "math.wasm")},
    )  # fmt: skip
    assert chain.outcome(code) == ("VM_ERROR", "wasm_trap unreachable")


def test_a_program_without_an_entry_point_is_refused(chain: Chain) -> None:
    code = contract(START, **{"m.wasm": wasm('(module (func (export "start")))')})
    assert chain.outcome(code) == ("VM_ERROR", "invalid_contract wasm entrypoint")


def test_a_contract_that_a_zip_starts_returns(chain: Chain) -> None:
    assert chain.outcome(contract(START, **{"m.wasm": Contract().wasm("nop")})) == ("RETURN", None)
