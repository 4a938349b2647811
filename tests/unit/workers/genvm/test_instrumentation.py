"""Modules as they are compiled: they do what they did before, and count their frames.

Source: docs/spec/06-contracts.md#the-machine.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import pytest
import wasmtime

from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.workers.genvm.engine.compile_cache import LIMITS_ID
from genvm_manager.workers.genvm.engine.exports import REASONS, START_FUNCTION, WHY
from genvm_manager.workers.genvm.engine.instrumentation import (
    LOCALS_OF_A_FRAME,
    MAX_FRAMES,
    instrumented,
)
from genvm_manager.workers.genvm.engine.wasm_limits import without_custom_sections
from genvm_manager.workers.genvm.python.cpython import read_cpython
from tests.support.wasm import HEADER, I32, body, export, function_type, module, section, vector


def rewritten(text: str | bytes, *, floats_trap: bool = True) -> bytes:
    wasm = bytes(wasmtime.wat2wasm(text)) if isinstance(text, str) else text
    kept = without_custom_sections(wasm)
    wasmtime.Module.validate(wasmtime.Engine(), kept)
    return instrumented(kept, floats_trap=floats_trap)


def called(wasm: bytes, *arguments: int, name: str = "run") -> object:
    """Return what the function `name` gives, or why the module stopped itself."""
    store = wasmtime.Store()
    instance = wasmtime.Instance(store, wasmtime.Module(store.engine, wasm), [])
    exports = instance.exports(store)
    function = exports[name]
    assert isinstance(function, wasmtime.Func)
    try:
        if START_FUNCTION.decode() in exports:
            exports[START_FUNCTION.decode()](store)  # type: ignore[operator]
        return function(store, *arguments)
    except wasmtime.Trap as trap:
        why = exports[WHY.decode()]
        assert isinstance(why, wasmtime.Global)
        assert trap.trap_code is not None
        return REASONS.get(why.value(store), trap.trap_code.name)


PROGRAMS = {
    "return": """(func (export "run") (param i32) (result i32)
        (if (local.get 0) (then (return (i32.const 7)))) (i32.const 8))""",
    "branch to the end": """(func (export "run") (param i32) (result i32)
        (i32.const 5) (br_if 0 (local.get 0)) drop (i32.const 6))""",
    "return within blocks": """(func (export "run") (param i32) (result i32)
        (loop (block (block (br_table 0 1 1 (local.get 0))) (return (i32.const 1)))
        (return (i32.const 2))) (i32.const 3))""",
    "values below a return": """(func (export "run") (param i32) (result i32)
        (i32.const 1) (i32.const 2) (local.get 0) return)""",
    "several results": """(func $both (param i32) (result i32 i64)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 1) (i64.const 2))))
        (local.get 0) (i64.const 3))
        (func (export "run") (param i32) (result i32)
        (call $both (local.get 0)) i32.wrap_i64 i32.add)""",
    "a branch with several results": """(func (export "run") (param i32) (result i32 i32)
        (i32.const 4) (local.get 0) (br 0))""",
    "tail calls": """(func $next (param i32 i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
        (return_call $next (i32.sub (local.get 0) (i32.const 1))
          (i32.add (local.get 1) (local.get 0))))
        (func (export "run") (param i32) (result i32)
        (return_call $next (i32.mul (local.get 0) (i32.const 1000)) (i32.const 0)))""",
    "indirect calls": """(type $f (func (param i32) (result i32))) (table funcref (elem $a $b))
        (func $a (param i32) (result i32) (i32.add (local.get 0) (i32.const 10)))
        (func $b (param i32) (result i32)
          (return_call_indirect (type $f) (i32.const 5) (i32.const 0)))
        (func (export "run") (param i32) (result i32)
          (call_indirect (type $f) (local.get 0) (i32.and (local.get 0) (i32.const 1))))""",
    "globals, memory, and what runs first": """(memory 1) (global $a (mut i32) (i32.const 3))
        (global $b (mut i64) (i64.const 4)) (data (i32.const 8) "abcd")
        (func $first (global.set $a (i32.load (i32.const 8)))) (start $first)
        (func (export "run") (param i32) (result i32) (global.get $a))""",
    "unreachable code": """(func (export "run") (param i32) (result i32)
        (return (local.get 0)) (i32.add) (return) (drop) (br 0))""",
    "constants that look like instructions": """(func (export "run") (param i32) (result i32)
        (i64.const 0x0f0f0f0f0f0f) (i64.const -241) i64.add i32.wrap_i64
        (i32.const 0x5b0f0f) i32.xor (local.get 0) i32.add)""",
    "vectors": """(func (export "run") (param i32) (result i32)
        (i32x4.extract_lane 2 (i8x16.shuffle 15 15 15 15 15 15 15 15 15 1 2 3 15 5 6 7
        (i32x4.splat (local.get 0)) (v128.const i64x2 0x0f0f0f0f 0x1212121213131313))))""",
}


@pytest.mark.parametrize("floats_trap", [True, False])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_module_gives_what_it_gave(name: str, floats_trap: bool) -> None:
    text = f"(module {PROGRAMS[name]})"
    before = bytes(wasmtime.wat2wasm(text))
    after = rewritten(text, floats_trap=floats_trap)
    for argument in (0, 1, 2, 3):
        assert called(after, argument) == called(before, argument)


def recursive(locals_: int = 0, rest: str = "") -> str:
    declared = "(local" + " i64" * (locals_ - 1) + ")" if locals_ > 1 else ""
    return f"""(module {rest} (func $down (param i32) (result i32) {declared}
        (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
        (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
        (func (export "run") (param i32) (result i32) (call $down (local.get 0))))"""


def test_frames_are_counted_exactly() -> None:
    wasm = rewritten(recursive())
    most = MAX_FRAMES - 2  # `run`, and `down` that is called with 0.
    assert called(wasm, most) == most + 1
    assert called(wasm, most + 1) == "stack_overflow"


@pytest.mark.parametrize(("locals_", "frames"), [(512, 1), (513, 2), (1024, 2), (1025, 3)])
def test_a_function_with_many_locals_counts_as_several_frames(locals_: int, frames: int) -> None:
    assert LOCALS_OF_A_FRAME == 512
    wasm = rewritten(recursive(locals_))
    most = (MAX_FRAMES - 1) // frames - 1
    assert called(wasm, most) == most + 1
    assert called(wasm, most + 1) == "stack_overflow"


def test_a_function_that_is_larger_than_the_stack_never_runs() -> None:
    wide = body(b"", [(10_000, I32)] * 1)
    types = [function_type()]
    wasm = module([wide], types=types, exports=[export("run")])
    assert called(rewritten(wasm)) is None
    assert 10_000 // LOCALS_OF_A_FRAME < MAX_FRAMES


def test_frames_that_ended_are_not_counted() -> None:
    """In whichever way: by their end, a return, a branch, or a call in their place."""
    wasm = rewritten(
        """(module (func $end (param i32) nop) (func $return (param i32) return)
        (func $branch (param i32) (br_if 0 (local.get 0)))
        (func $table (param i32) (br_table 0 0 (local.get 0)))
        (func $replaced (param i32) (return_call $end (local.get 0)))
        (func (export "run") (param i32) (result i32)
        (loop (call $end (local.get 0)) (call $return (local.get 0)) (call $branch (local.get 0))
        (call $table (local.get 0)) (call $replaced (local.get 0))
        (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (i32.const 9)))"""
    )
    assert called(wasm, 10 * MAX_FRAMES) == 9


FLOATS = {
    "constant": "(drop (f32.const 1))",
    "constant 64": "(drop (f64.const 1))",
    "load": "(drop (f32.load (i32.const 0)))",
    "store": "(f64.store (i32.const 0) (f64.reinterpret_i64 (i64.const 0)))",
    "arithmetic": "(drop (f64.add (f64.convert_i32_s (i32.const 1)) (f64.const 1)))",
    "comparison": "(drop (f32.lt (f32.convert_i32_s (i32.const 1)) (f32.const 1)))",
    "conversion": "(drop (f64.convert_i32_s (i32.const 1)))",
    "saturating": "(drop (i32.trunc_sat_f32_s (f32.reinterpret_i32 (i32.const 0))))",
    "splat": "(drop (f32x4.splat (f32.reinterpret_i32 (i32.const 0))))",
    "vector": "(drop (f64x2.add (v128.const i64x2 0 0) (v128.const i64x2 0 0)))",
    "lane": "(drop (f32x4.extract_lane 3 (v128.const i64x2 0 0)))",
    "nearest": "(drop (f64x2.nearest (v128.const i64x2 0 0)))",
    "relaxed": "(drop (f32x4.relaxed_min (v128.const i64x2 0 0) (v128.const i64x2 0 0)))",
}


@pytest.mark.parametrize("name", FLOATS)
def test_a_float_stops_the_module_when_it_is_reached(name: str) -> None:
    text = f"""(module (memory 1) (func (export "run") (param i32) (result i32)
        (if (local.get 0) (then {FLOATS[name]})) (i32.const 3)))"""
    det, nondet = rewritten(text), rewritten(text, floats_trap=False)
    assert [called(det, 0), called(det, 1)] == [3, "floating_point"]
    assert [called(nondet, 0), called(nondet, 1)] == [3, 3]


INTEGERS = (
    "(i8x16.splat (i32.const 0))",
    "(i64x2.extract_lane 1 (v128.const i64x2 0 0)) i64x2.splat",
    "(i16x8.relaxed_q15mulr_s (v128.const i64x2 0 0) (v128.const i64x2 0 0))",
    "(i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0))",
    "(v128.load (i32.const 0))",
    "(i32x4.extmul_low_i16x8_s (v128.const i64x2 0 0) (v128.const i64x2 0 0))",
    "(i32x4.relaxed_laneselect (v128.const i64x2 0 0) (v128.const i64x2 0 0)"
    " (v128.const i64x2 0 0))",
)


@pytest.mark.parametrize("text", INTEGERS)
def test_vectors_of_integers_do_not_stop_it(text: str) -> None:
    wasm = rewritten(
        f'(module (memory 1) (func (export "run") (param i32) (result i32) (drop {text})'
        " (i32.const 1)))"
    )
    assert called(wasm, 0) == 1


def test_a_float_in_what_runs_first_stops_it() -> None:
    text = """(module (func $first (drop (f32.const 1))) (start $first)
        (func (export "run")))"""
    assert called(rewritten(text)) == "floating_point"
    assert called(rewritten(text, floats_trap=False)) is None


def test_imports_of_every_kind_keep_their_indices() -> None:
    text = """(module (import "a" "f" (func (param i32))) (import "a" "t" (table 1 2 funcref))
        (import "a" "m" (memory 1)) (import "a" "g" (global i32)) (import "a" "h" (global i64))
        (func (export "run") (result i32) (drop (f32.const 1)) (global.get 0)))"""
    wasm = rewritten(text)
    found = wasmtime.Module(wasmtime.Engine(), wasm)
    assert [each.name for each in found.imports] == ["f", "t", "m", "g", "h"]
    why = next(each for each in found.exports if each.name == WHY.decode())
    assert isinstance(why.type, wasmtime.GlobalType)
    assert why.type.content == wasmtime.ValType.i32()


def test_a_module_without_functions_stays_as_it_is() -> None:
    assert rewritten("(module (memory 1))") == bytes(wasmtime.wat2wasm("(module (memory 1))"))


def test_numbers_that_are_written_longer_than_need_be_are_read() -> None:
    types = section(1, b"\x81\0" + b"\x60\x80\0\x82\0\x7f\x7f")
    code = section(10, b"\x81\0\x87\0\0\x41\1\x41\2\x0f\x0b")
    wasm = HEADER + types + section(3, vector([b"\x80\0"])) + section(7, vector([export("run")]))
    assert called(rewritten(wasm + code)) == [1, 2]


@pytest.mark.parametrize("name", ["genvm.why", "genvm.start", "my genvm.x"])
def test_names_of_ours_are_refused(name: str) -> None:
    with pytest.raises(InvalidContract, match=r"'genvm\.'"):
        rewritten(f'(module (func (export "{name}")))')


def test_all_of_an_interpreter_is_valid_once_it_is_rewritten() -> None:
    wasm = _without_custom_sections(read_cpython())
    for floats_trap in (True, False):
        wasmtime.Module.validate(wasmtime.Engine(), instrumented(wasm, floats_trap=floats_trap))


def _without_custom_sections(wasm: bytes) -> bytes:
    """As `without_custom_sections`, for a module that is over the limits of contracts."""
    parts, at = [wasm[:8]], 8
    while at < len(wasm):
        size = shift = 0
        start = at + 1
        while True:
            size |= (wasm[start] & 0x7F) << shift
            shift += 7
            start += 1
            if wasm[start - 1] < 0x80:
                break
        if wasm[at]:
            parts.append(wasm[at : start + size])
        at = start + size
    return b"".join(parts)


def _expression(pick: random.Random, depth: int) -> str:
    """Return a random expression that gives an i32, with branches and returns in it."""
    if depth == 0:
        return pick.choice(["(local.get 0)", "(i32.const 0x0f5b)", "(global.get $g)"])
    one, two = (_expression(pick, depth - 1) for _ in range(2))
    forms: Sequence[str] = (
        f"(i32.add {one} {two})",
        f"(i32.xor {one} {two})",
        f"(if (result i32) {one} (then {two}) (else {one}))",
        f"(block (result i32) (br_if 0 {one} {two}))",
        f"(block (result i32) (br 1 {one}))",
        f"(block (result i32) (br_table 0 1 {one} {two}))",
        f"(block (result i32) (drop {one}) (return {two}))",
        f"(call $other {one})",
        f"(local.tee 0 {one})",
    )
    return pick.choice(forms)


@pytest.mark.parametrize("seed", range(40))
def test_random_modules_give_what_they_gave(seed: int) -> None:
    pick = random.Random(seed)
    main, other = _expression(pick, 6), _expression(pick, 4).replace("(call $other", "(i32.eqz")
    text = f"""(module (global $g (mut i32) (i32.const {seed}))
        (func $other (param i32) (result i32) {other})
        (func (export "run") (param i32) (result i32) {main}))"""
    before, after = bytes(wasmtime.wat2wasm(text)), rewritten(text)
    for argument in (0, 1, -5):
        assert called(after, argument) == called(before, argument)


WRITTEN = "3", "8abed7eceb589d42"
"""`LIMITS_ID`, and the digest of what is written for `PROGRAMS` and `FLOATS`."""


def test_what_is_written_has_a_new_id_when_it_changes() -> None:
    """Modules that are in the compile cache already are not written again."""
    bodies = [*PROGRAMS.values(), *(f"(memory 1) (func {each})" for each in FLOATS.values())]
    digest = hashlib.sha256()
    for text in bodies:
        for floats_trap in (True, False):
            digest.update(rewritten(f"(module {text})", floats_trap=floats_trap))
    assert (LIMITS_ID, digest.hexdigest()[:16]) == WRITTEN, "raise LIMITS_ID, then put both here"
