"""WebAssembly in its binary form, as far as tests need it: sections out of parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

I32, I64, F32, F64, V128 = 0x7F, 0x7E, 0x7D, 0x7C, 0x7B
FUNCTION, TABLE, MEMORY, GLOBAL = range(4)
EMPTY = 0x40

_CUSTOM, _TYPE, _IMPORT, _FUNCTION, _TABLE, _MEMORY, _GLOBAL, _EXPORT, _START = range(9)
_ELEMENT, _CODE, _DATA, _DATA_COUNT = 9, 10, 11, 12


def unsigned(number: int) -> bytes:
    """Return LEB128 of a number that is not negative."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def signed(number: int) -> bytes:
    """Return LEB128 with a sign."""
    encoded = bytearray()
    while not -0x40 <= number < 0x40:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number & 0x7F)
    return bytes(encoded)


def i32(number: int) -> bytes:
    """Return `i32.const`; numbers beyond 31 bits are taken as unsigned ones."""
    number &= 0xFFFFFFFF
    return b"\x41" + signed(number - (1 << 32) if number >> 31 else number)


def i64(number: int) -> bytes:
    """Return `i64.const`, in the same way."""
    number &= (1 << 64) - 1
    return b"\x42" + signed(number - (1 << 64) if number >> 63 else number)


def text(name: str | bytes) -> bytes:
    """Return a name, its length before it."""
    raw = name.encode("utf-8", "surrogatepass") if isinstance(name, str) else name
    return unsigned(len(raw)) + raw


def vector(items: Sequence[bytes]) -> bytes:
    """Return the items, their number before them."""
    return unsigned(len(items)) + b"".join(items)


def function_type(params: Iterable[int], results: Iterable[int]) -> bytes:
    """Return an entry of the type section."""
    return b"\x60" + b"".join(
        vector([bytes([each]) for each in types]) for types in (params, results)
    )


def limits(least: int, most: int | None = None, flags: int = 0) -> bytes:
    """Return the limits of a memory or a table."""
    if most is None:
        return bytes([flags]) + unsigned(least)
    return bytes([flags | 1]) + unsigned(least) + unsigned(most)


def body(locals_: Sequence[tuple[int, int]], instructions: bytes) -> bytes:
    """Return an entry of the code section; `locals_` are counts and types."""
    declared = vector([unsigned(count) + bytes([kind]) for count, kind in locals_])
    code = declared + instructions + b"\x0b"
    return unsigned(len(code)) + code


def export(name: str | bytes, kind: int, index: int) -> bytes:
    """Return an entry of the export section."""
    return text(name) + bytes([kind]) + unsigned(index)


def active_data(at: int, content: bytes) -> bytes:
    """Return a data segment that stands in memory from the start."""
    return b"\x00" + i32(at) + b"\x0b" + text(content)


def section(number: int, content: bytes) -> bytes:
    """Return a section with its size."""
    return bytes([number]) + unsigned(len(content)) + content


@dataclass
class Parts:
    """What a module is made of, each entry encoded."""

    types: list[bytes] = field(default_factory=list)
    imports: list[bytes] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    """The type of each."""

    tables: list[bytes] = field(default_factory=list)
    memories: list[bytes] = field(default_factory=list)
    globals: list[bytes] = field(default_factory=list)
    exports: list[bytes] = field(default_factory=list)
    start: int | None = None
    elements: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    customs: list[bytes] = field(default_factory=list)
    """Names with their contents."""

    def type(self, params: Iterable[int], results: Iterable[int]) -> int:
        """Return the index of a function type, which is added where it is not there."""
        encoded = function_type(params, results)
        if encoded not in self.types:
            self.types.append(encoded)
        return self.types.index(encoded)

    def module(self) -> bytes:
        """Return the whole."""
        sections = [section(_CUSTOM, each) for each in self.customs]
        lists = [
            (_TYPE, self.types),
            (_IMPORT, self.imports),
            (_FUNCTION, [unsigned(each) for each in self.functions]),
            (_TABLE, self.tables),
            (_MEMORY, self.memories),
            (_GLOBAL, self.globals),
            (_EXPORT, self.exports),
        ]
        sections += [section(number, vector(items)) for number, items in lists if items]
        if self.start is not None:
            sections.append(section(_START, unsigned(self.start)))
        if self.elements:
            sections.append(section(_ELEMENT, vector(self.elements)))
        if self.data:
            sections.append(section(_DATA_COUNT, unsigned(len(self.data))))
        if self.bodies:
            sections.append(section(_CODE, vector(self.bodies)))
        if self.data:
            sections.append(section(_DATA, vector(self.data)))
        return b"\0asm\1\0\0\0" + b"".join(sections)
