"""What a module may have in it: refused by its own figures, before anything compiles it."""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import wasmtime

from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.workers.genvm.engine import wasm_limits
from genvm_manager.workers.genvm.engine.compile_cache import LIMITS_ID
from genvm_manager.workers.genvm.engine.engine import new_engine
from genvm_manager.workers.genvm.engine.wasm_limits import without_custom_sections
from genvm_manager.workers.genvm.python.cpython import read_cpython
from tests.conftest import PROJECT
from tests.support import wasm
from tests.support.wasm import I32, body, export, function_type, module, section, u, vector
from tests.support.wat import Contract

EMPTY = body(b"")
GLOBAL = b"\x7f\0\x41\0\x0b"
LOOP, BLOCK = b"\x03\x40\x0b", b"\x02\x40\x0b"
TABLE_COPY = b"\x41\0\x41\0\x41\0\xfc\x0e\0\0"
CUSTOM = section(0, u(4) + b"name" + bytes(100))


def table(targets: int) -> bytes:
    return b"\x41\0\x0e" + u(targets) + bytes(targets + 1)


OVER: list[tuple[Callable[[], bytes], str]] = [
    (
        lambda: module([wasm.many_locals_and_branches(20_000, 60_000)]),
        r"function 0 has [0-9,]+ bytes, the limit is 262,144",
    ),
    (
        lambda: module([EMPTY] * 1_000_000),
        "the module has 1,000,000 functions, the limit is 65,536",
    ),
    (
        lambda: module([EMPTY], exports=[export(f"e{n}") for n in range(40_000)]),
        "the module has 40,000 exports, the limit is 10,000",
    ),
    (
        lambda: module([EMPTY, body(b"", [(10_000, I32), (1, I32)])]),
        "function 1 has 10,001 locals, the limit is 10,000",
    ),
    (
        lambda: module([body(b"", [((1 << 32) - 1, I32)] * 2)]),
        "function 0 has 4,294,967,295 locals, the limit is 10,000",
    ),
    (
        lambda: module([body(b"", [(10_000, I32)])] * 41),
        "the module's functions have 410,000 locals, the limit is 400,000",
    ),
    (
        lambda: module([wasm.many_locals_and_branches(2_000, 1_000)]),
        "function 0 has 2,000 branches and 2,000 locals, the product is 4,000,000, the limit is"
        " 2,000,000",
    ),
    (
        lambda: module([wasm.many_locals_and_branches(1_000, 1_000)] * 6),
        "branches times locals, added up over all functions of the module, is 12,000,000, the"
        " limit is 10,000,000",
    ),
    (lambda: module([body(LOOP * 1_001)]), "function 0 has 1,001 loops, the limit is 1,000"),
    (
        lambda: module([body(LOOP * 1_000)] * 21),
        "the module's functions have 21,000 loops, the limit is 20,000",
    ),
    (lambda: module([body(BLOCK * 10_001)]), "function 0 has 10,001 branches, the limit is 10,000"),
    (lambda: module([body(table(10_000))]), "function 0 has 10,001 branches, the limit is 10,000"),
    (
        lambda: module([body(BLOCK * 10_000)] * 51),
        "the module's functions have 510,000 branches, the limit is 500,000",
    ),
    (
        lambda: module([body(b"\x01" * 200_000)] * 7),
        "the module's functions of over 32,768 bytes have together 1,400,014, the limit is"
        " 1,310,720",
    ),
    (
        lambda: module([body(b"\x01" * 32_000)] * 280),
        "the module's code has 8,961,402 bytes, the limit is 8,388,608",
    ),
    (
        lambda: module([wasm.indirect_calls(2_001)]),
        "function 0 has 2,001 instructions on tables, the limit is 2,000",
    ),
    (
        lambda: module([wasm.indirect_calls(2_000)] * 26),
        "the module's functions have 52,000 instructions on tables, the limit is 50,000",
    ),
    (
        lambda: module([body(b"\x9f" * 20_001)]),
        "function 0 has 20,001 divisions, conversions and operations of floating point, the limit"
        " is 20,000",
    ),
    (
        lambda: module([body(b"\x9f" * 20_000)] * 13),
        "the module's functions have 260,000 divisions, conversions and operations of floating"
        " point, the limit is 250,000",
    ),
    (
        lambda: module([EMPTY], types=[function_type(101)]),
        "type 0 has 101 parameters, the limit is 100",
    ),
    (
        lambda: module([EMPTY], types=[function_type(), function_type(0, 21)]),
        "type 1 has 21 results, the limit is 20",
    ),
    (
        lambda: module([EMPTY], types=[function_type()] * 10_001),
        "the module has 10,001 types, the limit is 10,000",
    ),
    (
        lambda: module([EMPTY], before_exports=section(6, u(10_001) + GLOBAL * 10_001)),
        "the module has 10,001 globals, the limit is 10,000",
    ),
    (
        lambda: module([EMPTY], between=section(9, u(10_001) + b"\1\0\0" * 10_001)),
        "the module has 10,001 element segments, the limit is 10,000",
    ),
    (
        lambda: module([EMPTY], between=section(9, b"\1\1\0" + u(1 << 17) + bytes(1 << 17))),
        "section 9 of the module has 131,078 bytes, the limit is 131,072",
    ),
    (
        lambda: module([EMPTY], after=section(11, u(50_001) + b"\1\0" * 50_001)),
        "the module has 50,001 data segments, the limit is 50,000",
    ),
    (
        lambda: wasm.HEADER + section(2, vector([u(1) + b"e" + u(1) + b"f" + b"\0\0"] * 1_001)),
        "the module has 1,001 imports, the limit is 1,000",
    ),
    (
        lambda: module([EMPTY], after=CUSTOM * 996),
        "the module has 1,001 sections, the limit is 1,000",
    ),
    (
        lambda: module([EMPTY], exports=[export("x" * (1 << 20))]),
        "section 7 of the module has 1,048,582 bytes, the limit is 1,048,576",
    ),
]


@pytest.mark.parametrize(("make", "sentence"), OVER)
def test_a_module_over_a_limit_is_refused_in_a_moment_with_figure_and_limit(
    make: Callable[[], bytes], sentence: str
) -> None:
    code = make()
    began = time.process_time()
    with pytest.raises(InvalidContract, match=rf"^{sentence}$") as refused:
        without_custom_sections(code)
    assert time.process_time() - began < 5
    assert refused.value.code == "invalid_contract wasm validating"


@pytest.mark.parametrize(
    "code",
    [
        b"",
        b"\0asm",
        b"\0asm\x0d\0\1\0",
        wasm.HEADER + b"\1",
        wasm.HEADER + b"\1\xff\xff\xff\xff\xff\1",
        wasm.HEADER + b"\1\5\1",
        wasm.HEADER + section(1, u(3)),
        wasm.HEADER + section(1, b"\1\x5f\0"),
        wasm.HEADER + section(10, vector([EMPTY])),
        wasm.HEADER + section(1, vector([function_type()])) + section(3, b"\1\7")
        + section(10, vector([EMPTY])),
        module([body(b"\xfe\0\0\0")]),
        module([body(b"\xfc\x7f")]),
        module([body(b"\x0e\xff\x7f")]),
        module([u(100) + b"\0\x0b"]),
    ],
)  # fmt: skip
def test_a_module_that_cannot_be_read_is_refused(code: bytes) -> None:
    with pytest.raises(InvalidContract):
        without_custom_sections(code)


def test_each_beginning_of_a_module_is_read_or_refused() -> None:
    whole = Contract().wasm("(loop (br_if 0 (i32.const 0))) (call $exit (i32.const 1))")
    for size in range(len(whole)):
        try:
            without_custom_sections(whole[:size])
        except InvalidContract:
            continue


def test_what_compilers_make_is_within_the_limits_and_loses_its_custom_sections_only() -> None:
    code = read_cpython()
    began = time.process_time()
    kept = without_custom_sections(code)
    assert time.process_time() - began < 20
    assert len(kept) < len(code)
    plain = module([EMPTY])
    assert without_custom_sections(CUSTOM.join([plain, b"", b""])) == plain


def test_no_figure_of_cpython_is_over_half_of_its_limit() -> None:
    read = wasm_limits._Module(read_cpython())
    read.kept()
    assert read._locals * 2 < wasm_limits.MAX_TOTAL_LOCALS
    for kind, (_, most) in wasm_limits._INSTRUCTIONS.items():
        assert read.totals[kind] * 2 < most, kind
    assert read._long_bodies * 2 < wasm_limits.MAX_LONG_BODIES_BYTES
    assert read._products * 2 < wasm_limits.MAX_TOTAL_BRANCHES_TIMES_LOCALS


IMMEDIATES = [
    b"", b"\0", b"\0\0", b"\0\0\0", b"\2\0", b"\2\0\0", b"\3\0", b"\3\0\0", bytes(4), bytes(8),
    bytes(16), b"\x40\x0b", b"\x40\x05\x0b", b"\1\0\0", b"\1\x7f", b"\x70", b"\4\0",
]  # fmt: skip


def instructions() -> Iterator[bytes]:
    yield from (bytes([opcode]) for opcode in range(256) if opcode not in (0xFC, 0xFD, 0x0B))
    yield from (b"\xfc" + u(number) for number in range(64))
    yield from (b"\xfd" + u(number) for number in range(512))


def test_every_instruction_that_this_executor_runs_is_read_to_its_end() -> None:
    engine = new_engine()
    known = 0
    head = wasm.HEADER + section(1, vector([function_type()])) + section(3, b"\1\0")
    for prefix in instructions():
        for immediates in IMMEDIATES:
            code = (
                head + section(4, b"\1\x70\0\1") + section(5, b"\1\0\1")
                + section(6, b"\1\x7f\1\x41\0\x0b") + section(7, vector([export("_start")]))
                + section(9, b"\1\1\0\1\0") + section(12, b"\1")
                + section(10, vector([body(b"\0" + prefix + immediates + LOOP, [(1, I32)])]))
                + section(11, b"\1\1\0")
            )  # fmt: skip
            try:
                wasmtime.Module.validate(engine, code)
            except wasmtime.WasmtimeError:
                continue
            known += 1
            read = wasm_limits._Module(code)
            read.kept()
            assert read.totals["loops"] == 1 + (prefix == LOOP[:1]), (prefix, immediates)
    assert known > 800


def test_branches_are_counted_as_they_are() -> None:
    functions = [
        body(BLOCK * 3 + LOOP + table(4) + b"\x41\0\x04\x40\x05\x0b" + b"\x41\0\x11\0\0"),
        body(b"\xd2\0\x1a" + b"\x41\0\x25\0\x1a" + TABLE_COPY),
        body(b"\x41\1\x41\1\x6d\x1a" + b"\x44" + bytes(8) + b"\xb6\xbb\x9f\xb0\x1a"),
        body(b"\x44\3\3\3\3\3\3\3\3\x1a\x43\2\2\2\2\x1a\x42\3\x1a\xfd\x0c" + b"\3" * 16 + b"\x1a"),
    ]
    read = wasm_limits._Module(module(functions))
    read.kept()
    assert tuple(read.totals.values()) == (3 + 1 + 5 + 2 + 1 + 3, 1, 4, 5)


def test_the_guide_has_every_limit() -> None:
    guide = (PROJECT / "docs/operations/limits.md").read_text()
    chapter = guide.partition("## What a contract's WebAssembly may have")[2].partition("\n## ")[0]
    figures = set(re.findall(r"\| ([0-9,]+) \|", chapter))
    names = [name for name in vars(wasm_limits) if name.startswith("MAX_")]
    assert names
    for name in names:
        assert f"{getattr(wasm_limits, name):,}" in figures, name


def test_whatever_bytes_are_changed_a_module_is_read_or_refused() -> None:
    whole = Contract().wasm("(loop (br_if 0 (i32.const 0))) (call $exit (i32.const 1))")
    engine, chance = new_engine(), random.Random(13)
    valid = 0
    for _ in range(4_000):
        changed = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(8, len(changed))] = chance.randrange(256)
        try:
            wasmtime.Module.validate(engine, changed)
        except wasmtime.WasmtimeError:
            with suppress(InvalidContract):
                without_custom_sections(bytes(changed))
            continue
        valid += 1
        without_custom_sections(bytes(changed))
    assert valid > 100


LIMITS = "3", "3386e27a886626fe"
"""`LIMITS_ID`, and the digest of the rules that it stands for."""

RULES = ("_PLAIN", "_OPERANDS", "_PREFIXED_OPERANDS", "_TABLE_OPCODES", "_ARITHMETIC")


def test_limits_that_change_have_a_new_id_as_what_is_compiled_already_is_not_read_again() -> None:
    names = [name for name in vars(wasm_limits) if "MAX_" in name or "BYTES" in name]
    rules = [(name, _comparable(getattr(wasm_limits, name))) for name in sorted([*names, *RULES])]
    digest = hashlib.sha256(repr(rules).encode()).hexdigest()[:16]
    assert (LIMITS_ID, digest) == LIMITS, "raise LIMITS_ID, then put both here"


def _comparable(rule: object) -> object:
    if isinstance(rule, re.Pattern):
        return rule.pattern
    return sorted(rule) if isinstance(rule, frozenset) else rule
