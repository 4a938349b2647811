"""How single values lie in storage (docs/spec/08-storage-layout.md#types)."""

from __future__ import annotations

from struct import Struct, error

from ..types import Address
from .slots import child_id
from .stored_type import StoredType, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .slots import Slot


class Integer(StoredType):
    """`u8` to `u256` and `i8` to `i256`: little-endian, two's complement."""

    is_movable = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = int(name[1:]) // 8
        self.steps = (self.size,)
        self._signed = name[0] == "i"

    def read(self, slot: Slot, offset: int) -> int:
        """Return the number at this place."""
        return int.from_bytes(slot.read(offset, self.size), "little", signed=self._signed)

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Put a number at this place. Raises `OverflowError`, `AttributeError`."""
        try:
            raw = value.to_bytes(self.size, "little", signed=self._signed)
        except AttributeError:
            raise _other_type(self, "an int", value) from None
        except OverflowError:
            raise OverflowError(f"{value} does not fit in {self.name}") from None
        slot.write(offset, raw)

    def __reduce__(self) -> tuple[Any, ...]:
        return integer, (self.name,)


class Bool(StoredType):
    """`bool`: one byte, 0 or 1."""

    name, size, steps = "bool", 1, (1,)

    def read(self, slot: Slot, offset: int) -> bool:
        """Return whether the byte at this place is not 0."""
        return slot.read(offset, 1) != b"\0"

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Put the truth of `value` at this place."""
        slot.write(offset, b"\1" if value else b"\0")

    def __reduce__(self) -> str:
        return "BOOL"


class Float(StoredType):
    """`float`: IEEE 754, 8 bytes."""

    name, size, steps = "float", 8, (8,)
    is_movable = True
    _packed = Struct("<d")

    def read(self, slot: Slot, offset: int) -> float:
        """Return the number at this place."""
        return self._packed.unpack(slot.read(offset, 8))[0]

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Put a number at this place. Raises `struct.error`."""
        try:
            raw = self._packed.pack(value)
        except error:
            raise error(f"float expected, got {shown(value)}") from None
        slot.write(offset, raw)

    def __reduce__(self) -> str:
        return "FLOAT"


class StoredAddress(StoredType):
    """`Address`: its 20 bytes."""

    name, size, steps = "Address", Address.SIZE, (Address.SIZE,)
    is_movable = True

    def read(self, slot: Slot, offset: int) -> Address:
        """Return the address at this place."""
        return Address(slot.read(offset, Address.SIZE))

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Put an address at this place. Raises `AttributeError`."""
        try:
            raw = value.as_bytes
        except AttributeError:
            raise _other_type(self, "an Address", value) from None
        slot.write(offset, raw)

    def __reduce__(self) -> str:
        return "ADDRESS"


class Nothing(StoredType):
    """`None`: takes no room."""

    name, size, steps = "None", 0, ()

    def read(self, _slot: Slot, _offset: int) -> None:
        """Return None."""

    def write(self, _slot: Slot, _offset: int, value: Any) -> None:
        """Write nothing. Raises `AssertionError` for any other value."""
        if value is not None:
            raise AssertionError(f"None expected, got {shown(value)}")

    def __reduce__(self) -> str:
        return "NOTHING"


class Text(StoredType):
    """A type whose values are any number of bytes: length in place, content in the child slot."""

    size = 4

    def __init__(self) -> None:
        self.steps = (self,)

    def read(self, slot: Slot, offset: int) -> Any:
        """Return the value at this place."""
        length = int.from_bytes(slot.read(offset, 4), "little")
        if not length:
            return self.unpacked(b"")
        return self.unpacked(slot.manager.do_read(child_id(slot.id, offset), 0, length))

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Put `value` at this place."""
        _put(slot, offset, self.packed(value))

    def copy(self, source: Slot, start: int, target: Slot, to: int) -> None:
        """Copy length and content as they are."""
        _put(target, to, BYTES.read(source, start))

    def packed(self, value: Any) -> bytes:
        """Return the content for `value`."""
        raise NotImplementedError

    def unpacked(self, content: bytes) -> Any:
        """Return the value of which this is the content."""
        raise NotImplementedError


def _put(slot: Slot, offset: int, content: bytes) -> None:
    with slot.manager:
        slot.write(offset, len(content).to_bytes(4, "little"))
        if content:
            slot.manager.do_write(child_id(slot.id, offset), 0, content)


class Str(Text):
    """`str`, as UTF-8."""

    name = "str"

    def packed(self, value: Any) -> bytes:
        """Return the UTF-8 of `value`. Raises `AttributeError`, `UnicodeEncodeError`."""
        try:
            return value.encode()
        except AttributeError:
            raise _other_type(self, "a str", value) from None

    def unpacked(self, content: bytes) -> str:
        """Return the text."""
        return content.decode()

    def __reduce__(self) -> str:
        return "STR"


class Bytes(Text):
    """`bytes`."""

    name = "bytes"

    def packed(self, value: Any) -> bytes:
        """Return the bytes of any buffer. Raises `TypeError`."""
        if type(value) is bytes:
            return value
        try:
            return bytes(memoryview(value))
        except TypeError:
            raise TypeError(f"bytes expected, got {shown(value)}") from None

    def unpacked(self, content: bytes) -> bytes:
        """Return the bytes."""
        return content

    def __reduce__(self) -> str:
        return "BYTES"


class BigInt(Text):
    """`bigint`: two's complement, two bytes longer than its absolute value."""

    name = "bigint"

    def packed(self, value: Any) -> bytes:
        """Return the bytes of a number. Raises `AttributeError`."""
        try:
            length = 2 + (value.bit_length() + 7) // 8
        except AttributeError:
            raise _other_type(self, "an int", value) from None
        return value.to_bytes(length, "little", signed=True)

    def unpacked(self, content: bytes) -> int:
        """Return the number."""
        return int.from_bytes(content, "little", signed=True)

    def __reduce__(self) -> str:
        return "BIGINT"


def _other_type(expected: StoredType, what: str, value: Any) -> AttributeError:
    return AttributeError(f"{expected.name} takes {what}, got {shown(value)}")


BOOL = Bool()
FLOAT = Float()
ADDRESS = StoredAddress()
NOTHING = Nothing()
STR = Str()
BYTES = Bytes()
BIGINT = BigInt()
_INTEGERS: dict[str, Integer] = {}


def integer(name: str) -> Integer:
    """Return the stored type of the sized integer with this name, such as `u256`."""
    made = _INTEGERS.get(name)
    if made is None:
        made = _INTEGERS[name] = Integer(name)
    return made
