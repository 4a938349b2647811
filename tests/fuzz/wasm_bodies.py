"""Random function bodies that are valid: trees of expressions, each of a type."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from . import odd_values
from .wasm_encoder import EMPTY, F32, F64, I32, I64, body, i32, i64, unsigned

_LETTERS = {"i": I32, "I": I64, "f": F32, "F": F64}

_RANGES = [
    (0x45, 0x45, "i", "i"), (0x46, 0x4F, "ii", "i"), (0x50, 0x50, "I", "i"),
    (0x51, 0x5A, "II", "i"), (0x5B, 0x60, "ff", "i"), (0x61, 0x66, "FF", "i"),
    (0x67, 0x69, "i", "i"), (0x6A, 0x78, "ii", "i"), (0x79, 0x7B, "I", "I"),
    (0x7C, 0x8A, "II", "I"), (0x8B, 0x91, "f", "f"), (0x92, 0x98, "ff", "f"),
    (0x99, 0x9F, "F", "F"), (0xA0, 0xA6, "FF", "F"), (0xA7, 0xA7, "I", "i"),
    (0xA8, 0xA9, "f", "i"), (0xAA, 0xAB, "F", "i"), (0xAC, 0xAD, "i", "I"),
    (0xAE, 0xAF, "f", "I"), (0xB0, 0xB1, "F", "I"), (0xB2, 0xB3, "i", "f"),
    (0xB4, 0xB5, "I", "f"), (0xB6, 0xB6, "F", "f"), (0xB7, 0xB8, "i", "F"),
    (0xB9, 0xBA, "I", "F"), (0xBB, 0xBB, "f", "F"), (0xBC, 0xBC, "f", "i"),
    (0xBD, 0xBD, "F", "I"), (0xBE, 0xBE, "i", "f"), (0xBF, 0xBF, "I", "F"),
    (0xC0, 0xC1, "i", "i"), (0xC2, 0xC4, "I", "I"),
]  # fmt: skip
"""First and last opcode, operands, result."""

_NUMERIC: dict[int, list[tuple[bytes, str]]] = {kind: [] for kind in _LETTERS.values()}
for _first, _last, _operands, _result in _RANGES:
    _NUMERIC[_LETTERS[_result]] += [(bytes([at]), _operands) for at in range(_first, _last + 1)]
for _at, (_operands, _result) in enumerate(zip("ffFFffFF", "iiiiIIII", strict=True)):
    _NUMERIC[_LETTERS[_result]].append((bytes([0xFC, _at]), _operands))

_LOADS = {I32: [0x28, 0x2C, 0x2D, 0x2E, 0x2F], I64: [0x29, 0x30, 0x35], F32: [0x2A], F64: [0x2B]}
_STORES = {I32: [0x36, 0x3A, 0x3B], I64: [0x37, 0x3C, 0x3E], F32: [0x38], F64: [0x39]}


class ModuleScope(NamedTuple):
    """What a body may use: functions by index (parameters, result or None), globals by type, how
    many data segments there are, and whether there is a memory and a table of functions."""

    functions: Sequence[tuple[Sequence[int], int | None]]
    global_types: Sequence[int]
    segments: int
    has_memory: bool
    has_table: bool
    types: int


class BodyMaker:
    """Makes one body; `budget` bounds the number of its nodes."""

    def __init__(self, random: Random, around: ModuleScope, params: Sequence[int]) -> None:
        self._random = random
        self._around = around
        kinds = [I32, I64, F32, F64]
        self._extra = [random.choice(kinds) for _ in range(random.randrange(6))]
        self._local_types = [*params, *self._extra]
        self._budget = random.choice([5, 40, 40, 200, 1000])
        self._labels = 0

    def body(self, result: int | None) -> bytes:
        """Return an entry of the code section."""
        code = self._statements(depth=5)
        if result is not None:
            code += self._expression(result, depth=4)
        return body([(1, kind) for kind in self._extra], code)

    def _statements(self, depth: int) -> bytes:
        count = self._random.choice([0, 1, 2, 3, 8])
        return b"".join(self._statement(depth) for _ in range(count))

    def _statement(self, depth: int) -> bytes:
        self._budget -= 1
        if depth <= 0 or self._budget <= 0:
            return b"\x01"
        kind = self._random.choice([I32, I64, F32, F64])

        def value(kind: int) -> bytes:
            return self._expression(kind, depth - 1)

        match self._random.randrange(12):
            case 0:
                return value(kind) + b"\x1a"
            case 1 if self._local_types:
                index = self._random.randrange(len(self._local_types))
                return value(self._local_types[index]) + b"\x21" + unsigned(index)
            case 2 if self._around.global_types:
                index = self._random.randrange(len(self._around.global_types))
                return value(self._around.global_types[index]) + b"\x24" + unsigned(index)
            case 3 | 4 if self._around.has_memory:
                code = self._random.choice(_STORES[kind])
                return value(I32) + value(kind) + bytes([code]) + self._place()
            case 5:
                return value(I32) + self._block(0x04, depth)
            case 6:
                return self._block(self._random.choice([0x02, 0x03]), depth)
            case 7 if self._labels:
                label = unsigned(self._random.randrange(self._labels))
                return value(I32) + b"\x0d" + label
            case 8 | 9 | 10:
                return self._rarer(depth)
            case _:
                return b"\x01"

    def _rarer(self, depth: int) -> bytes:
        kind = self._random.random()
        if kind < 0.6 and self._around.functions:
            return self._call(depth, None)
        if kind < 0.8 and self._around.has_memory:
            return self._bulk(depth)
        if kind < 0.98 and self._around.has_table:
            return self._expression(I32, depth - 1) + b"\x11" + unsigned(0) + b"\x00"
        return b"\x00" if kind > 0.98 else b"\x01"

    def _block(self, opcode: int, depth: int) -> bytes:
        self._labels += 1
        inside = self._statements(depth - 1)
        if opcode == 0x04 and self._random.random() < 0.5:
            inside += b"\x05" + self._statements(depth - 1)
        self._labels -= 1
        return bytes([opcode, EMPTY]) + inside + b"\x0b"

    def _call(self, depth: int, wanted: int | None) -> bytes:
        """Return a call of any function, or of one that gives `wanted`; drop its other results."""
        fitting = [
            index
            for index, (_, gives) in enumerate(self._around.functions)
            if wanted is None or gives == wanted
        ]
        if not fitting:
            return self._constant(wanted) if wanted is not None else b"\x01"
        index = self._random.choice(fitting)
        params, gives = self._around.functions[index]
        code = b"".join(self._expression(kind, depth - 2) for kind in params)
        code += b"\x10" + unsigned(index)
        return code + b"\x1a" if wanted is None and gives is not None else code

    def _bulk(self, depth: int) -> bytes:
        three = b"".join(self._expression(I32, depth - 2) for _ in range(3))
        kind = self._random.randrange(4 if self._around.segments else 2)
        segment = unsigned(self._random.randrange(max(1, self._around.segments)))
        return [
            three + b"\xfc\x0b\x00",
            three + b"\xfc\x0a\x00\x00",
            three + b"\xfc\x08" + segment + b"\x00",
            b"\xfc\x09" + segment,
        ][kind]

    def _expression(self, kind: int, depth: int) -> bytes:
        self._budget -= 1
        if depth <= 0 or self._budget <= 0:
            return self._constant(kind)
        match self._random.randrange(8):
            case 0 | 1:
                return self._constant(kind)
            case 2 if kind in self._local_types:
                at = [i for i, each in enumerate(self._local_types) if each == kind]
                return b"\x20" + unsigned(self._random.choice(at))
            case 3 if kind in self._around.global_types:
                at = [i for i, each in enumerate(self._around.global_types) if each == kind]
                return b"\x23" + unsigned(self._random.choice(at))
            case 4 if self._around.has_memory:
                code = self._random.choice(_LOADS[kind])
                return self._expression(I32, depth - 1) + bytes([code]) + self._place()
            case 5 if kind == I32 and self._around.has_memory:
                grown = self._expression(I32, depth - 1) + b"\x40\x00"
                return self._random.choice([b"\x3f\x00", grown])
            case 6 if self._random.random() < 0.3:
                return self._call(depth, kind)
            case _:
                operator, operands = self._random.choice(_NUMERIC[kind])
                given = (self._expression(_LETTERS[each], depth - 1) for each in operands)
                return b"".join(given) + operator

    def _constant(self, kind: int) -> bytes:
        number = odd_values.number(self._random)
        if kind == I32:
            return i32(number)
        if kind == I64:
            return i64(number)
        odd = self._random.choice([0.0, -0.0, 1.5, float("inf"), float("nan"), 1e30])
        if kind == F32:
            return b"\x43" + struct.pack("<f", odd)
        return b"\x44" + struct.pack("<d", odd)

    def _place(self) -> bytes:
        """Return alignment and offset of a load or store."""
        return b"\x00" + unsigned(self._random.choice([0, 0, 0, 8, 65_535, (1 << 32) - 1]))
