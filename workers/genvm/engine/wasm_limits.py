"""What a contract's WebAssembly module may have in it, so that compiling it is bounded work.

Compilers of WebAssembly take more than linear time and memory for some modules: many locals beside
many branches, long functions, many loops. Nothing here depends on the machine: a module is refused
by its own figures, in linear time, before anything compiles it. Validating it is left to wasmtime.

Raise `LIMITS_ID` in `compile_cache.py` with each change of a limit: modules that are compiled
already are not read again. `docs/operations/limits.md` has the limits in a table. What compilers
make is well within them: CPython, with 6 MB of code, is below half of each, but for the code's
size.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from genvm_manager.protocol.contract.errors import InvalidContract

MAX_SECTIONS = 1_000
MAX_SECTION_BYTES = 1 << 20
"""Of each section but those of code, data, and custom ones."""

MAX_ELEMENTS_BYTES = 128 << 10
"""Of the section of elements, each of which takes a byte or more, and 2 KB of memory."""

MAX_TYPES = 10_000
MAX_PARAMETERS = 100
MAX_RESULTS = 20
"""Of one function type."""

MAX_IMPORTS = 1_000
MAX_EXPORTS = 10_000
MAX_GLOBALS = 10_000
MAX_FUNCTIONS = 65_536
MAX_ELEMENT_SEGMENTS = 10_000
MAX_DATA_SEGMENTS = 50_000

MAX_CODE_BYTES = 8 << 20
MAX_BODY_BYTES = 256 << 10
"""Of one function."""

LONG_BODY_BYTES = 32 << 10
MAX_LONG_BODIES_BYTES = 1280 << 10
"""Of all functions together that are longer than `LONG_BODY_BYTES`."""

MAX_LOCALS = 10_000
"""Of one function, its parameters included."""

MAX_TOTAL_LOCALS = 400_000
MAX_BRANCHES = 10_000
"""Of one function: its blocks, loops, conditions, branches, targets of branch tables, indirect
calls and accesses to tables."""

MAX_TOTAL_BRANCHES = 500_000
MAX_LOOPS = 1_000
"""Of one function."""

MAX_TOTAL_LOOPS = 20_000
MAX_TABLE_INSTRUCTIONS = 2_000
"""Of one function: its indirect calls, and whatever else looks into a table or at a function."""

MAX_TOTAL_TABLE_INSTRUCTIONS = 50_000
MAX_ARITHMETIC = 20_000
"""Of one function: its divisions, arithmetic of floating point, and conversions that may trap."""

MAX_TOTAL_ARITHMETIC = 250_000
MAX_BRANCHES_TIMES_LOCALS = 2_000_000
"""Of one function."""

MAX_TOTAL_BRANCHES_TIMES_LOCALS = 10_000_000


def without_custom_sections(wasm: bytes) -> bytes:
    """Return what of a module is to be compiled: all but its custom sections.

    Raises `InvalidContract`, naming the figure and the limit, for a module that is over one, and
    for one that cannot be read.
    """
    return _Module(wasm).kept()


_CUSTOM, _TYPE, _IMPORT, _FUNCTION, _TABLE, _MEMORY, _GLOBAL, _EXPORT = range(8)
_START, _ELEMENT, _CODE, _DATA, _DATA_COUNT = range(8, 13)
_HEADER = b"\0asm\1\0\0\0"
_FUNCTION_TYPE = 0x60

_LEB = rb"[\x80-\xff]{0,9}+[\x00-\x7f]"
_SKIP_LEB = re.compile(_LEB)
_PLAIN = re.compile(
    # What is not counted: opcode, then what follows it there. The alternatives differ in their
    # first byte, or two, and nothing is tried twice, so it takes linear time.
    rb"(?:[\x00\x01\x0b\x0f\x1a\x1b\x45-\x6c\x71-\x7e\x83-\x8c\x99\x9a\xa7\xac\xad\xbc-\xc4\xd1]++"
    rb"|[\x10\x12\x20-\x24\x3f-\x42\xd0]LEB"
    rb"|[\x28-\x3e]LEB LEB"
    rb"|\x1c\x01[\x6f\x70\x7b-\x7f]"
    rb"|\x43.{4}|\x44.{8}"
    rb"|\xfc(?:[\x00-\x07\x13-\x16]|[\x08\x0a]LEB LEB|[\x09\x0b]LEB)"
    rb"|\xfd(?:[\x00-\x0b\x5c\x5d]LEB LEB|[\x0c\x0d].{16}|[\x15-\x22].|[\x54-\x5b]LEB LEB."
    rb"|[\x0e-\x14\x23-\x53\x5e-\x7f]|[\x80-\xff][\x01\x02])"
    rb")*+".replace(b" ", b"").replace(b"LEB", _LEB),
    re.DOTALL,
)  # fmt: skip
_LOOP, _ELSE, _BR_TABLE, _REF_FUNC, _PREFIX = 0x03, 0x05, 0x0E, 0xD2, 0xFC
_OPERANDS = {0x02: 1, _LOOP: 1, 0x04: 1, _ELSE: 0, 0x0C: 1, 0x0D: 1, 0x11: 2, 0x13: 2,
             0x25: 1, 0x26: 1, _REF_FUNC: 1}  # fmt: skip
"""Of the instructions that count as branches, by opcode; a branch table has its own form."""

_TABLE_OPCODES = frozenset([0x11, 0x13, 0x25, 0x26, _REF_FUNC, _PREFIX])
_PREFIXED_OPERANDS = {0x0C: 2, 0x0D: 1, 0x0E: 2, 0x0F: 1, 0x10: 1, 0x11: 1}
"""Of those that look into a table, by what follows the prefix."""

_ARITHMETIC = frozenset(
    [*range(0x6D, 0x71), *range(0x7F, 0x83), *range(0x8D, 0x99), *range(0x9B, 0xA7),
     *range(0xA8, 0xAC), *range(0xAE, 0xBC)]
)  # fmt: skip


_INSTRUCTIONS = {
    "branches": (MAX_BRANCHES, MAX_TOTAL_BRANCHES),
    "loops": (MAX_LOOPS, MAX_TOTAL_LOOPS),
    "instructions on tables": (MAX_TABLE_INSTRUCTIONS, MAX_TOTAL_TABLE_INSTRUCTIONS),
    "divisions, conversions and operations of floating point": (
        MAX_ARITHMETIC,
        MAX_TOTAL_ARITHMETIC,
    ),
}
"""What is counted: how many of it one function may have, and all functions together."""


class _Module:
    """Reads a module once, front to end."""

    def __init__(self, wasm: bytes) -> None:
        self._wasm = wasm
        self._at = len(_HEADER)
        self._end = len(wasm)
        self._parameters: list[int] = []
        self._signatures: list[int] = []
        self._functions = 0
        self._sections = 0
        self._locals = 0
        self.totals = dict.fromkeys(_INSTRUCTIONS, 0)
        self._long_bodies = 0
        self._products = 0

    def kept(self) -> bytes:
        if not self._wasm.startswith(_HEADER):
            _refuse("the module is not WebAssembly of version 1")
        kept = [_HEADER]
        while self._at < len(self._wasm):
            start = self._at
            section = self._byte()
            size = self._number()
            end = self._at + size
            if end > len(self._wasm):
                self._malformed()
            self._sections += 1
            _at_most(self._sections, MAX_SECTIONS, "the module has {} sections")
            if section != _CUSTOM:
                self._read(section, end)
                kept.append(self._wasm[start:end])
            self._at, self._end = end, len(self._wasm)
        return b"".join(kept)

    def _read(self, section: int, end: int) -> None:
        self._end = end
        size = end - self._at
        if section not in (_CODE, _DATA):
            limit = MAX_ELEMENTS_BYTES if section == _ELEMENT else MAX_SECTION_BYTES
            _at_most(size, limit, f"section {section} of the module has {{}} bytes")
        if reader := _READERS.get(section):
            reader(self)
        elif section in _COUNTED and size:
            limit, what = _COUNTED[section]
            _at_most(self._number(), limit, what)

    def _types(self) -> None:
        count = self._number()
        _at_most(count, MAX_TYPES, "the module has {} types")
        for index in range(count):
            if self._byte() != _FUNCTION_TYPE:
                _refuse(f"type {index} of the module is not that of a function")
            parameters = self._number()
            _at_most(parameters, MAX_PARAMETERS, f"type {index} has {{}} parameters")
            self._at += parameters
            results = self._number()
            _at_most(results, MAX_RESULTS, f"type {index} has {{}} results")
            self._at += results
            self._parameters.append(parameters)

    def _declarations(self) -> None:
        count = self._number()
        _at_most(count, MAX_FUNCTIONS, "the module has {} functions")
        self._signatures += [self._number() for _ in range(count)]

    def _code(self) -> None:
        _at_most(self._end - self._at, MAX_CODE_BYTES, "the module's code has {} bytes")
        section_end = self._end
        for _ in range(self._number()):
            size = self._number()
            body_end = self._at + size
            if body_end > section_end or self._functions >= len(self._signatures):
                self._malformed()
            self._end = body_end
            self._body(size)
            self._functions += 1
            self._at, self._end = body_end, section_end

    def _body(self, size: int) -> None:
        name = f"function {self._functions}"
        _at_most(size, MAX_BODY_BYTES, f"{name} has {{}} bytes")
        if size > LONG_BODY_BYTES:
            self._long_bodies += size
            long = f"the module's functions of over {LONG_BODY_BYTES:,} bytes have together {{}}"
            _at_most(self._long_bodies, MAX_LONG_BODIES_BYTES, long)
        locals_ = self._count_locals(name)
        branches = self._count_instructions(name)
        product = branches * locals_
        what = f"{name} has {branches:,} branches and {locals_:,} locals, the product is {{}}"
        _at_most(product, MAX_BRANCHES_TIMES_LOCALS, what)
        self._products += product
        what = "branches times locals, added up over all functions of the module, is {}"
        _at_most(self._products, MAX_TOTAL_BRANCHES_TIMES_LOCALS, what)

    def _count_locals(self, name: str) -> int:
        signature = self._signatures[self._functions]
        if signature >= len(self._parameters):
            self._malformed()
        count = self._parameters[signature]
        for _ in range(self._number()):
            count += self._number()
            self._byte()
            _at_most(count, MAX_LOCALS, f"{name} has {{}} locals")
        self._locals += count
        _at_most(self._locals, MAX_TOTAL_LOCALS, "the module's functions have {} locals")
        return count

    def _count_instructions(self, name: str) -> int:
        """Count what is slow to compile in the body that begins here, which is read to its end.

        Return the number of its branches.
        """
        wasm, end = self._wasm, self._end
        branches = loops = tables = arithmetic = 0
        while True:
            plain = _PLAIN.match(wasm, self._at, end)
            assert plain is not None
            self._at = plain.end()
            if self._at == end:
                break
            opcode = wasm[self._at]
            self._at += 1
            if opcode in _ARITHMETIC:
                arithmetic += 1
                continue
            branches += 1
            loops += opcode == _LOOP
            tables += opcode in _TABLE_OPCODES
            operands = self._operands(opcode, name)
            if opcode == _BR_TABLE:
                branches += operands - 1
                _at_most(branches, MAX_BRANCHES, f"{name} has {{}} branches")
            for _ in range(operands):
                self._skip_number()
        self._add(name, (branches, loops, tables, arithmetic))
        return branches

    def _operands(self, opcode: int, name: str) -> int:
        """Return how many numbers follow an instruction of which the opcode has been read."""
        if opcode == _BR_TABLE:
            return self._number() + 1
        if opcode in _OPERANDS:
            return _OPERANDS[opcode]
        if opcode == _PREFIX and (kind := self._byte()) in _PREFIXED_OPERANDS:
            return _PREFIXED_OPERANDS[kind]
        raise InvalidContract(
            f"{name} has an instruction that this executor does not know, before byte "
            f"{self._at:,} of the module",
            "wasm validating",
        )

    def _add(self, name: str, counts: tuple[int, ...]) -> None:
        """Add what function `name` has of each of `_INSTRUCTIONS`."""
        for kind, count in zip(_INSTRUCTIONS, counts, strict=True):
            _at_most(count, _INSTRUCTIONS[kind][0], f"{name} has {{}} {kind}")
        for kind, count in zip(_INSTRUCTIONS, counts, strict=True):
            self.totals[kind] += count
            what = f"the module's functions have {{}} {kind}"
            _at_most(self.totals[kind], _INSTRUCTIONS[kind][1], what)

    def _byte(self) -> int:
        if self._at >= self._end:
            self._malformed()
        self._at += 1
        return self._wasm[self._at - 1]

    def _number(self) -> int:
        """Read an unsigned number of at most 32 bits, LEB128."""
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 28:
                self._malformed()
        return number

    def _skip_number(self) -> None:
        found = _SKIP_LEB.match(self._wasm, self._at, self._end)
        if found is None:
            self._malformed()
        self._at = found.end()

    def _malformed(self) -> NoReturn:
        _refuse(f"the module is malformed at byte {self._at:,}")


_READERS: dict[int, Callable[[_Module], None]] = {
    _TYPE: _Module._types,
    _FUNCTION: _Module._declarations,
    _CODE: _Module._code,
}
_COUNTED = {
    _IMPORT: (MAX_IMPORTS, "the module has {} imports"),
    _GLOBAL: (MAX_GLOBALS, "the module has {} globals"),
    _EXPORT: (MAX_EXPORTS, "the module has {} exports"),
    _ELEMENT: (MAX_ELEMENT_SEGMENTS, "the module has {} element segments"),
    _DATA: (MAX_DATA_SEGMENTS, "the module has {} data segments"),
}


def _at_most(figure: int, limit: int, what: str) -> None:
    if figure > limit:
        _refuse(f"{what.format(f'{figure:,}')}, the limit is {limit:,}")


def _refuse(why: str) -> NoReturn:
    raise InvalidContract(why, "wasm validating")
