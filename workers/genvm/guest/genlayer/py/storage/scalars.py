"""How single values lie in storage.

All numbers are little-endian. In place: `bool` 1 byte, `uN` and `iN` N/8 bytes, `float` 8 (IEEE
754), `Address` 20, `timedelta` 12 (microseconds), `datetime` 10 (8 of microseconds since 1970 UTC,
2 of the offset from UTC in minutes; the largest such number marks a time without zone).

`str`, `bytes` and `bigint` take 64 bytes: 4 of length, then up to 60 of content. Longer content
lies in the child slot at the value's offset. `str` is UTF-8, `bigint` two's complement.

Zero bytes are the zero of every type: `False`, `0`, `""`, 1970-01-01 00:00 UTC, `Address(0…0)`.
"""

from __future__ import annotations

from struct import Struct

from ..calldata import Address
from ..types import BY_NAME, IntType
from .slots import MemorySlot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta
    from typing import Any

    from .slots import Slot


class StoredType:
    """How values of one type lie in storage: `size` bytes at an offset of a slot.

    `flat` types keep everything in place, so their bytes may be moved. A `view` is an object that
    stands for a place in storage, rather than a value read from it.
    """

    name: str
    size: int
    flat = True
    view = False
    sortable = False

    def read(self, slot: Slot, offset: int) -> Any:
        """Return the value at this place."""
        raise NotImplementedError

    def encode(self, slot: Slot, offset: int, value: Any) -> bytes:
        """Return the `size` bytes for `value` at this place; write what does not fit in them."""
        raise NotImplementedError

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Put `value` at this place."""
        slot.write(offset, self.encode(slot, offset, value))

    def key(self, value: Any) -> Any:
        """Return `value` as a key of a `TreeMap`, or `TypeError`."""
        raise TypeError(f"{self.name} holds no {type(value).__name__}")

    def detached(self, value: Any) -> Any:
        """Return `value`, read from storage, as it is now and apart from its place there."""
        if not self.view:
            return value
        slot = MemorySlot()
        self.write(slot, 0, value)
        return self.read(slot, 0)


class Value(StoredType):
    """A type whose values are read whole, as `python_type`."""

    sortable = True
    _python_type: type | tuple[type, ...]

    def key(self, value: Any) -> Any:
        """Return `value`. Raises `TypeError` for a value of another type."""
        if isinstance(value, self._python_type):
            return value
        raise TypeError(f"{self.name} expected, got {type(value).__name__}: {value!r:.80}")

    def decode(self, raw: bytes, slot: Slot, offset: int) -> Any:
        """Return the value at this place, where the bytes `raw` are."""
        raise NotImplementedError


class Scalar(Value):
    """A type whose values are a fixed number of bytes."""

    def __init__(
        self,
        name: str,
        size: int,
        python_type: type | tuple[type, ...],
        pack: Callable[[Any], bytes],
        unpack: Callable[[bytes], Any],
    ) -> None:
        self.name = name
        self.size = size
        self._python_type = python_type
        self._pack = pack
        self._unpack = unpack

    def read(self, slot: Slot, offset: int) -> Any:
        """Return the value at this place."""
        return self._unpack(slot.read(offset, self.size))

    def decode(self, raw: bytes, _slot: Slot, _offset: int) -> Any:
        """Return the value that `raw` stands for."""
        return self._unpack(raw)

    def encode(self, _slot: Slot, _offset: int, value: Any) -> bytes:
        """Return `value` as it lies in place."""
        return self._pack(self.key(value))


class Text(Value):
    """A type whose values are any number of bytes."""

    ROOM = 60
    size = 4 + ROOM
    flat = False

    def __init__(
        self,
        name: str,
        python_type: type | tuple[type, ...],
        pack: Callable[[Any], bytes],
        unpack: Callable[[bytes], Any],
    ) -> None:
        self.name = name
        self._python_type = python_type
        self._pack = pack
        self._unpack = unpack

    def read(self, slot: Slot, offset: int) -> Any:
        """Return the value at this place."""
        return self.decode(slot.read(offset, self.size), slot, offset)

    def decode(self, raw: bytes, slot: Slot, offset: int) -> Any:
        """Return the value of which `raw` lies in place; a long one is read from the child."""
        length = int.from_bytes(raw[:4], "little")
        if length <= self.ROOM:
            return self._unpack(raw[4 : 4 + length])
        return self._unpack(slot.child(offset).read_once(length))

    def encode(self, slot: Slot, offset: int, value: Any) -> bytes:
        """Return what lies in place for `value`; write a long value into the child."""
        return self._used(slot, offset, value).ljust(self.size, b"\0")

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Put `value` at this place."""
        slot.write(offset, self._used(slot, offset, value))

    def _used(self, slot: Slot, offset: int, value: Any) -> bytes:
        """Return the bytes in place that count: a reader looks no further than the length says."""
        content = self._pack(self.key(value))
        length = len(content).to_bytes(4, "little")
        if len(content) <= self.ROOM:
            return length + content
        slot.child(offset).write(0, content)
        return length


def _integer(kind: IntType) -> Scalar:
    size, signed = kind.bits // 8, kind.signed

    def pack(value: int) -> bytes:
        try:
            return value.to_bytes(size, "little", signed=signed)
        except OverflowError:
            raise OverflowError(f"{value} does not fit in {kind.__name__}") from None

    def unpack(raw: bytes) -> int:
        return int.from_bytes(raw, "little", signed=signed)

    return Scalar(kind.__name__, size, int, pack, unpack)


def _pack_bigint(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True) if value else b""


def _unpack_bigint(raw: bytes) -> int:
    return int.from_bytes(raw, "little", signed=True)


_NO_ZONE = (1 << 15) - 1
_MOMENT = Struct("<qh")
_FLOAT = Struct("<d")


def _datetime() -> Scalar:
    from datetime import UTC, datetime, timedelta, timezone

    epoch, naive_epoch = datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1)
    micro, minute = timedelta(microseconds=1), timedelta(minutes=1)

    def pack(value: datetime) -> bytes:
        zone = value.utcoffset()
        if zone is None:
            return _MOMENT.pack((value - naive_epoch) // micro, _NO_ZONE)
        if zone % minute:
            raise ValueError(f"storage holds offsets of whole minutes from UTC, got {zone}")
        return _MOMENT.pack((value - epoch) // micro, zone // minute)

    def unpack(raw: bytes) -> datetime:
        micros, zone = _MOMENT.unpack(raw)
        if zone == _NO_ZONE:
            return naive_epoch + micros * micro
        moment = epoch + micros * micro
        return moment.astimezone(timezone(zone * minute)) if zone else moment

    return Scalar("datetime", _MOMENT.size, datetime, pack, unpack)


def _timedelta() -> Scalar:
    from datetime import timedelta

    micro = timedelta(microseconds=1)

    def pack(value: timedelta) -> bytes:
        return (value // micro).to_bytes(12, "little", signed=True)

    def unpack(raw: bytes) -> timedelta:
        return int.from_bytes(raw, "little", signed=True) * micro

    return Scalar("timedelta", 12, timedelta, pack, unpack)


_BOOL = Scalar("bool", 1, bool, lambda value: b"\1" if value else b"\0", lambda raw: raw != b"\0")
_ADDRESS = Scalar("Address", Address.SIZE, Address, Address.as_bytes.fget, Address)
_DOUBLE = Scalar("float", 8, (float, int), _FLOAT.pack, lambda raw: _FLOAT.unpack(raw)[0])
_DOUBLE.sortable = False

_BY_TYPE: dict[Any, StoredType] = {
    bool: _BOOL,
    float: _DOUBLE,
    Address: _ADDRESS,
    str: Text("str", str, str.encode, lambda raw: raw.decode()),
    bytes: Text("bytes", (bytes, bytearray, memoryview), bytes, bytes),
    BY_NAME["bigint"]: Text("bigint", int, _pack_bigint, _unpack_bigint),
}
_FROM_DATETIME = {"datetime": _datetime, "timedelta": _timedelta}


def scalar(annotation: Any) -> StoredType | None:
    """Return the stored type of a scalar annotation; None when it is no scalar."""
    known = _BY_TYPE.get(annotation)
    if known is None:
        if isinstance(annotation, IntType):
            known = _BY_TYPE[annotation] = _integer(annotation)
        elif getattr(annotation, "__module__", None) == "datetime":
            make = _FROM_DATETIME.get(annotation.__name__)
            known = _BY_TYPE[annotation] = make() if make else None
    return known
