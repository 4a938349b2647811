"""`gl.calldata`: values as bytes, as contracts send, return and read them.

Source: docs/spec/07-python-sdk.md#3-calldata-glcalldata, docs/spec/02-calldata.md#calldata.
"""

from __future__ import annotations

from _collections_abc import Mapping, Sequence
from abc import ABCMeta, abstractmethod

from .types import Address
from .uleb128 import append_uleb128, read_uleb128

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Buffer, Callable
    from typing import Any

__all__ = (
    "CalldataEncodable",
    "Decoded",
    "DecodingError",
    "Encodable",
    "EncodableWithDefault",
    "decode",
    "encode",
    "to_str",
)

MAX_DEPTH = 128
"""How deep lists and maps may nest."""

_ATOM, _POSITIVE, _NEGATIVE, _BYTES, _STR, _LIST, _MAP = range(7)
_NULL, _FALSE, _TRUE, _ADDRESS = (atom << 3 | _ATOM for atom in range(4))

Decoded = None | bool | int | bytes | str | Address | list | dict
"""What `decode` returns."""


class DecodingError(ValueError):
    """Bytes that are not calldata."""


class CalldataEncodable(metaclass=ABCMeta):
    """The base of classes that say themselves how they are encoded."""

    @abstractmethod
    def __to_calldata__(self) -> Encodable:
        """Return the value to encode instead."""


Encodable = Decoded | CalldataEncodable | Sequence | Mapping
"""What `encode` takes; and instances of dataclasses."""


class EncodableWithDefault:
    """What `encode` takes with a `default` for `T`, as an annotation: `EncodableWithDefault[T]`."""

    __class_getitem__ = classmethod(type(list[int]))


# --------------------------------------------------------------------------------------- encoding


def encode(value: Any, *, default: Callable[[Any], Any] | None = None) -> bytes:
    """Return the calldata of `value`.

    `default` is applied to every value first, at every depth; without it, instances of dataclasses
    become maps of their fields. Any sequence is a list, any mapping a map. Raises `TypeError` for
    what has no calldata, `UnicodeEncodeError` for a lone surrogate, and `ValueError` for nesting
    deeper than `MAX_DEPTH`.
    """
    out = bytearray()
    try:
        _Encoder(out, default).write(value, 0)
    except TypeError as error:
        if hasattr(error, "place"):
            error.add_note(f"in the value to encode, at {vars(error).pop('place')}")
        raise
    return bytes(out)


class _Encoder:
    __slots__ = ("_default", "_out")

    def __init__(self, out: bytearray, default: Callable[[Any], Any] | None) -> None:
        self._out = out
        self._default = default

    def write(self, value: Any, depth: int) -> None:
        if self._default is not None:
            value = self._default(value)
        out = self._out
        kind = type(value)
        if kind is str:
            self._write_sized(value.encode(), _STR)
        elif kind is int:
            self._write_int(value)
        elif value is None:
            out.append(_NULL)
        elif kind is bool:
            out.append(_TRUE if value else _FALSE)
        elif kind is bytes:
            self._write_sized(value, _BYTES)
        elif kind is dict:
            self._write_map(value, depth)
        elif kind is list or kind is tuple:
            self._write_list(value, depth)
        elif kind is Address:
            out.append(_ADDRESS)
            out += value.as_bytes
        else:
            self._write_other(value, depth)

    def _write_other(self, value: Any, depth: int) -> None:
        """Write a value of a rarer type: here the order of the checks counts."""
        if self._default is None and hasattr(type(value), "__dataclass_fields__"):
            self._write_map(_fields(value), depth)
        elif isinstance(value, CalldataEncodable):
            self.write(value.__to_calldata__(), depth)
        elif isinstance(value, int):
            self._write_int(int(value))
        elif isinstance(value, Address):
            self._out.append(_ADDRESS)
            self._out += value.as_bytes
        elif isinstance(value, (bytes, bytearray, memoryview)):
            self._write_sized(bytes(value), _BYTES)
        elif isinstance(value, str):
            self._write_sized(value.encode(), _STR)
        else:
            self._write_collection(value, depth)

    def _write_collection(self, value: Any, depth: int) -> None:
        if isinstance(value, Sequence):
            self._write_list(list(value), depth)
        elif isinstance(value, Mapping):
            self._write_map(dict(value.items()), depth)
        else:
            raise TypeError(f"{type(value).__name__} has no calldata")

    def _write_int(self, value: int) -> None:
        number = value << 3 | _POSITIVE if value >= 0 else ~value << 3 | _NEGATIVE
        append_uleb128(self._out, number)

    def _write_sized(self, raw: bytes, kind: int) -> None:
        append_uleb128(self._out, len(raw) << 3 | kind)
        self._out += raw

    def _write_list(self, items: list[Any] | tuple[Any, ...], depth: int) -> None:
        _check_depth(depth)
        append_uleb128(self._out, len(items) << 3 | _LIST)
        for index, item in enumerate(items):
            try:
                self.write(item, depth + 1)
            except TypeError as error:
                _add_place(error, f"[{index}]")
                raise

    def _write_map(self, entries: Mapping[str, Any], depth: int) -> None:
        _check_depth(depth)
        out = self._out
        rows = sorted((_key(key), key) for key in entries)
        append_uleb128(out, len(rows) << 3 | _MAP)
        for raw, key in rows:
            append_uleb128(out, len(raw))
            out += raw
            try:
                self.write(entries[key], depth + 1)
            except TypeError as error:
                _add_place(error, f"[{key!r}]")
                raise


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of an instance of a dataclass."""
    from dataclasses import fields

    return {field.name: getattr(value, field.name) for field in fields(value)}


def _key(key: Any) -> bytes:
    if not isinstance(key, str):
        raise TypeError(f"the keys of a map are str, got {type(key).__name__}")
    return key.encode()


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _add_place(error: TypeError, step: str) -> None:
    """Let the error know one more step of the way to the value at fault."""
    error.place = step + getattr(error, "place", "")


# --------------------------------------------------------------------------------------- decoding


def decode(buffer: Buffer, *, memview2bytes: Callable[[memoryview], Any] = bytes) -> Any:
    """Return the value that `buffer` encodes, all of it.

    `memview2bytes` makes the values for bytes. Raises `DecodingError` for what is not calldata, and
    `UnicodeDecodeError` for text that is not UTF-8.
    """
    data = bytes(buffer)
    try:
        value, end = _Decoder(data, memview2bytes).read(0, 0)
    except IndexError:
        raise DecodingError("the input ends in the middle of a value") from None
    if end != len(data):
        raise _fault(f"{len(data) - end} bytes follow the value", end)
    return value


class _Decoder:
    __slots__ = ("_data", "_make_bytes", "_size")

    def __init__(self, data: bytes, make_bytes: Callable[[memoryview], Any]) -> None:
        self._data = data
        self._size = len(data)
        self._make_bytes = make_bytes

    def read(self, at: int, depth: int) -> tuple[Any, int]:
        head, after = self._number(at)
        kind, argument = head & 7, head >> 3
        if kind == _STR:
            end = self._end(after, argument)
            return self._data[after:end].decode(), end
        if kind == _POSITIVE:
            return argument, after
        if kind == _MAP:
            return self._map(after, argument, depth)
        if kind == _LIST:
            return self._list(after, argument, depth)
        if kind == _BYTES:
            end = self._end(after, argument)
            if self._make_bytes is bytes:
                return self._data[after:end], end
            return self._make_bytes(memoryview(self._data)[after:end]), end
        if kind == _NEGATIVE:
            return ~argument, after
        return self._atom(head, after)

    def _atom(self, head: int, after: int) -> tuple[Any, int]:
        if head == _NULL:
            return None, after
        if head == _TRUE:
            return True, after
        if head == _FALSE:
            return False, after
        if head == _ADDRESS:
            end = self._end(after, Address.SIZE)
            return Address(self._data[after:end]), end
        raise _fault("a reserved type or atom stands before", after)

    def _list(self, at: int, count: int, depth: int) -> tuple[list[Any], int]:
        self._check_room(at, count, depth)
        items = []
        read = self.read
        for _ in range(count):
            item, at = read(at, depth + 1)
            items.append(item)
        return items, at

    def _map(self, at: int, count: int, depth: int) -> tuple[dict[str, Any], int]:
        self._check_room(at, 2 * count, depth)
        entries: dict[str, Any] = {}
        previous: bytes | None = None
        for _ in range(count):
            length, start = self._number(at)
            end = self._end(start, length)
            raw = self._data[start:end]
            if previous is not None and raw <= previous:
                raise _fault("map keys are not strictly increasing", at)
            previous = raw
            entries[raw.decode()], at = self.read(end, depth + 1)
        return entries, at

    def _number(self, at: int) -> tuple[int, int]:
        number = self._data[at]
        if number < 0x80:
            return number, at + 1
        number, end = read_uleb128(self._data, at)
        if self._data[end - 1] == 0:
            raise _fault("a number is padded with a zero byte", end - 1)
        return number, end

    def _end(self, at: int, length: int) -> int:
        if length > self._size - at:
            raise _fault("more bytes are announced than follow", at)
        return at + length

    def _check_room(self, at: int, values: int, depth: int) -> None:
        if values > self._size - at:
            raise _fault("more values are announced than bytes follow", at)
        if depth >= MAX_DEPTH:
            raise _fault(f"nested deeper than {MAX_DEPTH}", at)


def _fault(reason: str, offset: int) -> DecodingError:
    return DecodingError(f"{reason} at offset {offset}")


# ------------------------------------------------------------------------------------------- text


def to_str(value: Any) -> str:
    """Return a value as people read it, much like JSON. Raises `TypeError` as `encode` does."""
    import json

    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "b#" + value.hex()
    if isinstance(value, Address):
        return f"{value:cd}"
    if isinstance(value, Mapping):
        entries = (f"{json.dumps(key)}:{to_str(each)}" for key, each in value.items())
        return "{" + ",".join(entries) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(to_str, value)) + "]"
    raise TypeError(f"{type(value).__name__} has no calldata")
