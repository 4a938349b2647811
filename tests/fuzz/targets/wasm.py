"""Modules: valid ones with odd parts, invalid ones, ones with many of something, damaged ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from tests.fuzz import odd_values
from tests.fuzz.catalogue import catalogue
from tests.fuzz.contract_trial import contract_tester
from tests.fuzz.target import Target
from tests.fuzz.wasm_bodies import BodyMaker, ModuleScope
from tests.fuzz.wasm_encoder import (
    F64,
    FUNCTION,
    GLOBAL,
    I32,
    I64,
    MEMORY,
    TABLE,
    V128,
    Parts,
    active_data,
    body,
    export,
    i32,
    i64,
    limits,
    section,
    text,
    unsigned,
    vector,
)

SECONDS = 0.4
_MANY = [100, 1000, 5000, 20_000]
_FUNCREF, _EXTERNREF = 0x70, 0x6F


def make(random: Random) -> bytes:
    """Return one module."""
    kind = random.random()
    if kind < 0.45:
        return usual(random).module()
    if kind < 0.65:
        return _with_something_odd(random)
    if kind < 0.75:
        return _with_many(random)
    if kind < 0.95:
        return b"\0asm" + odd_values.mutated(random, usual(random).module())[4:]
    return b"\0asm\1\0\0\0" + _random_sections(random)


def usual(random: Random) -> Parts:
    """Return a valid module with some functions, a memory and `_start`."""
    parts = Parts()
    parts.type([], [])
    functions: list[tuple[list[int], int | None]] = []
    for offered in random.sample(catalogue(), random.randrange(4)):
        offered.declare(parts)
        params = [I64 if letter == "I" else I32 for letter in offered.params]
        functions.append((params, I32 if offered.returns else None))
    imported = len(functions)
    functions += [_signature(random) for _ in range(random.randrange(5))]
    functions.append(([], None))
    kinds = [random.choice([I32, I64, F64]) for _ in range(random.randrange(3))]
    starts = {I32: i32(7), I64: i64(-1), F64: b"\x44" + bytes(8)}
    parts.globals = [bytes([kind, 1]) + starts[kind] + b"\x0b" for kind in kinds]
    parts.data = [active_data(random.choice([0, 64, 65_530]), odd_values.some_bytes(random, 4))]
    has_table = random.random() < 0.5
    if has_table:
        parts.tables = [bytes([_FUNCREF]) + limits(random.choice([0, 1, 10, 1000]), 1 << 20)]
    parts.memories = [limits(random.choice([1, 2, 16]), random.choice([None, 16, 65_536]))]
    around = ModuleScope(functions, kinds, len(parts.data), True, has_table, 1)
    for params, result in functions[imported:]:
        parts.functions.append(parts.type(params, [] if result is None else [result]))
        parts.bodies.append(BodyMaker(random, around, params).body(result))
    parts.exports = [export("_start", FUNCTION, len(functions) - 1), export("memory", MEMORY, 0)]
    if random.random() < 0.1:
        parts.start = len(functions) - 1
    return parts


def _signature(random: Random) -> tuple[list[int], int | None]:
    kinds = [I32, I64, F64]
    params = [random.choice(kinds) for _ in range(random.choice([0, 0, 1, 2, 3]))]
    return params, random.choice([None, *kinds])


# ------------------------------------------------------------------------------------ odd parts


def _with_something_odd(random: Random) -> bytes:
    parts = usual(random)
    for _ in range(random.choice([1, 1, 2])):
        random.choice(_ODDITIES)(random, parts)
    return parts.module()


def _odd_import(random: Random, parts: Parts) -> None:
    offered = random.choice(catalogue())
    kinds = [
        bytes([FUNCTION]) + unsigned(parts.type([I64, V128], [])),
        bytes([FUNCTION]) + unsigned(999),
        bytes([TABLE, _FUNCREF]) + limits(1),
        bytes([MEMORY]) + limits(1),
        bytes([GLOBAL, I32, 0]),
    ]
    module = random.choice([offered.module, "env", odd_values.text(random)])
    name = random.choice([offered.name, odd_values.text(random)])
    parts.imports.append(text(module) + text(name) + random.choice(kinds))


def _odd_export(random: Random, parts: Parts) -> None:
    name = random.choice(["memory", "_start", "_initialize", odd_values.text(random)])
    kind = random.choice([FUNCTION, FUNCTION, TABLE, MEMORY, GLOBAL, 9])
    parts.exports[random.randrange(2)] = export(name, kind, random.choice([0, 0, 1, 99]))


def _odd_memory(random: Random, parts: Parts) -> None:
    choice = random.choice([
        [],
        [limits(1), limits(1)],
        [limits(65_537)],
        [limits(65_536)],
        [limits(1025)],
        [limits(2, 1)],
        [limits(1, flags=4)],
        [limits(1, 1, flags=2)],
        [limits(1, flags=8)],
        [limits(0)],
    ])  # fmt: skip
    parts.memories = choice


def _odd_table(random: Random, parts: Parts) -> None:
    kind = bytes([random.choice([_FUNCREF, _EXTERNREF])])
    sizes = [0, 1, 1 << 20, (1 << 20) + 1, (1 << 32) - 1]
    parts.tables = [kind + limits(random.choice(sizes)) for _ in range(random.choice([1, 2, 17]))]
    parts.elements = [b"\x00" + i32(random.choice([0, 1 << 20])) + b"\x0b" + vector([b"\x00"])]


def _odd_data(random: Random, parts: Parts) -> None:
    at = random.choice([65_535, 65_536, (1 << 32) - 1, 1 << 31])
    parts.data = [active_data(at, b"data"), b"\x01" + text(b"passive"), active_data(0, b"")]


def _odd_start(random: Random, parts: Parts) -> None:
    parts.start = random.choice([0, 999, len(parts.functions)])


def _odd_custom(random: Random, parts: Parts) -> None:
    name = random.choice([b"genvm.version", b"name", b"", b"\xff", b"producers"])
    content = random.choice([b"v1.0.0", b"\xff" * 300, b"", odd_values.text(random).encode(
        "utf-8", "surrogatepass")])  # fmt: skip
    parts.customs += [text(name) + content] * random.choice([1, 1, 3, 20_000])


def _odd_body(random: Random, parts: Parts) -> None:
    codes = [
        b"\x03\x40\x0c\x00\x0b",  # loop for ever
        b"\x10" + unsigned(len(parts.imports)) + b"\x0b",  # call oneself
        b"\x03\x40" + i32(1) + b"\x40\x00\x1a\x0c\x00\x0b",  # grow for ever
        i32(-1) + b"\x40\x00\x1a",
        i32(0) + i32(0) + i32(-1) + b"\xfc\x0b\x00",  # fill all there is, and more
        b"\x00",
        b"\x02\x40" * 2000 + b"\x0b" * 2000,
        (i32(1) * 3000) + b"\x1a" * 3000,
        b"\xfd\x0c" + bytes(16) + b"\x1a",
        b"\xfe\x03\x00",
        odd_values.some_bytes(random),
    ]
    parts.bodies[-1] = body([], random.choice(codes))


_ODDITIES: list[Callable[[Random, Parts], None]] = [
    _odd_import,
    _odd_export,
    _odd_memory,
    _odd_table,
    _odd_data,
    _odd_start,
    _odd_custom,
    _odd_body,
]


# ---------------------------------------------------------------------------- many of something


def _with_many(random: Random) -> bytes:
    parts = usual(random)
    count = random.choice(_MANY)
    random.choice([
        _many_functions, _many_locals, _many_exports, _many_segments, _many_types, _much_code,
    ])(parts, count)  # fmt: skip
    return parts.module()


def _many_functions(parts: Parts, count: int) -> None:
    parts.functions += [0] * count
    parts.bodies += [body([], b"")] * count


def _many_locals(parts: Parts, count: int) -> None:
    steps = b"".join(
        b"\x20" + unsigned(at) + i32(1) + b"\x6a\x21" + unsigned(at) for at in range(count // 8)
    )
    parts.bodies[-1] = body([(count, I32)], steps)


def _many_exports(parts: Parts, count: int) -> None:
    parts.exports += [export(f"e{number}", MEMORY, 0) for number in range(count)]


def _many_segments(parts: Parts, count: int) -> None:
    parts.data += [active_data(number % 60_000, b"x") for number in range(count)]


def _many_types(parts: Parts, count: int) -> None:
    for number in range(count):
        kinds = [I32 if number >> bit & 1 else I64 for bit in range(15)]
        parts.types.append(b"\x60" + vector([bytes([kind]) for kind in kinds]) + b"\x00")


def _much_code(parts: Parts, count: int) -> None:
    step = b"\x02\x40" + i32(1) + b"\x0d\x00" + i32(0) + i32(1) + b"\x36\x00\x00\x0b"
    parts.bodies[-1] = body([], step * (count // 4))


def _random_sections(random: Random) -> bytes:
    return b"".join(
        section(random.randrange(15), odd_values.some_bytes(random))
        for _ in range(random.randrange(8))
    )


TARGET = Target(
    "wasm",
    "raw WebAssembly modules, deployed",
    make,
    partial(contract_tester, SECONDS),
)
