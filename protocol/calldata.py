"""Calldata: the typed, canonical binary encoding of every GenVM part.

Source: docs/spec/02-calldata.md#calldata.

Values are `None`, `bool`, `int` of any size, `bytes`, `str`, `list`, `dict` with `str` keys, and
`Address`. Equal values have equal encodings and nothing else decodes.

Python contracts have a codec of their own, for what they may pass and catch:
`workers/genvm/guest/genlayer/py/calldata.py`.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .keccak import keccak256
from .uleb128 import append_uleb128, read_uleb128

MAX_DEPTH = 128
"""How deep lists and maps may nest, on both sides, unless the caller says otherwise."""

MAX_VALUES = 1 << 20
"""How many values lists and maps may hold in all, each key of a map counted as well, on both sides,
unless the caller says otherwise. A value takes some 70 bytes of memory, however few it is
encoded in."""

_ATOM, _POSITIVE, _NEGATIVE, _BYTES, _STR, _LIST, _MAP = range(7)
_NULL, _FALSE, _TRUE, _ADDRESS = (atom << 3 | _ATOM for atom in range(4))


class DecodeError(ValueError):
    """Bytes that are not calldata; `offset` is the index of the first byte that is at fault."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} at offset {offset}")
        self.reason = reason
        self.offset = offset


class EncodeError(TypeError, ValueError):
    """A value that calldata cannot hold; `path` says where it stands, such as `.args[2]`."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path


class Address:
    """The 20 bytes that name an account or a contract.

    Built from 20 bytes, from `0x` and 40 hex digits in any case, or from their base64. Prints as
    EIP-55 checksummed hex. Anything else is a `ValueError` or, for other types, a `TypeError`.
    """

    SIZE = 20
    __slots__ = ("_bytes", "_hex")

    def __init__(self, value: bytes | bytearray | memoryview | str | Address) -> None:
        self._bytes = _address_bytes(value)
        self._hex: str | None = None

    @property
    def as_bytes(self) -> bytes:
        """The 20 bytes."""
        return self._bytes

    @property
    def as_hex(self) -> str:
        """`0x` and 40 hex digits, their case carrying the EIP-55 checksum."""
        if self._hex is None:
            digits = self._bytes.hex()
            checksum = keccak256(digits.encode("ascii")).hex()
            marked = (d.upper() if c >= "8" else d for d, c in zip(digits, checksum, strict=False))
            self._hex = "0x" + "".join(marked)
        return self._hex

    @property
    def as_b64(self) -> str:
        """The 20 bytes in base64."""
        return binascii.b2a_base64(self._bytes, newline=False).decode("ascii")

    @property
    def as_int(self) -> int:
        """The 20 bytes as a little-endian number."""
        return int.from_bytes(self._bytes, "little")

    def __bytes__(self) -> bytes:
        return self._bytes

    def __eq__(self, other: object) -> bool:
        return self._bytes == other._bytes if isinstance(other, Address) else NotImplemented

    def __lt__(self, other: Address) -> bool:
        return self._bytes < other._bytes if isinstance(other, Address) else NotImplemented

    def __le__(self, other: Address) -> bool:
        return self._bytes <= other._bytes if isinstance(other, Address) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __str__(self) -> str:
        return self.as_hex

    def __repr__(self) -> str:
        return f'Address("{self.as_hex}")'

    def __format__(self, spec: str) -> str:
        return format(self.as_hex, spec)


def _address_bytes(value: object) -> bytes:
    if isinstance(value, Address):
        return value.as_bytes
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
    elif isinstance(value, str):
        try:
            if value[:2] in ("0x", "0X"):
                raw = binascii.unhexlify(value[2:])
            else:
                raw = binascii.a2b_base64(value, strict_mode=True)
        except ValueError:
            raise ValueError(f"an address is 0x and 40 hex digits, got {value[:60]!r}") from None
    else:
        raise TypeError(f"an address is made of bytes or str, got {type(value).__name__}")
    if len(raw) != Address.SIZE:
        raise ValueError(f"an address has 20 bytes, got {len(raw)}")
    return raw


# --------------------------------------------------------------------------------------- encoding


class Encoded:
    """Calldata that is encoded already: `encode` puts it where the value would stand.

    `values` is how many values it counts for.
    """

    __slots__ = ("content", "values")

    def __init__(self, content: bytes, values: int) -> None:
        self.content = content
        self.values = values


def encode(
    value: Any,
    *,
    max_depth: int = MAX_DEPTH,
    max_values: int = MAX_VALUES,
) -> bytes:
    """Return the calldata of `value`.

    Beside the types of calldata, dataclasses and other mappings encode as maps, tuples and other
    sequences as lists, `bytearray` and `memoryview` as bytes.
    Raises `EncodeError` for floats, keys that are not `str`, lone surrogates, unknown types,
    nesting deeper than `max_depth` and more than `max_values` values.
    """
    out = bytearray()
    _Encoder(out, max_depth, max_values).write(value, 0)
    return bytes(out)


def encoded(value: Any, *, max_depth: int = MAX_DEPTH, max_values: int = MAX_VALUES) -> Encoded:
    """Return the calldata of `value`, to be part of more than one encoding. Raises as `encode`."""
    out = bytearray()
    encoder = _Encoder(out, max_depth, max_values)
    encoder.write(value, 0)
    return Encoded(bytes(out), max_values - encoder.left)


class _Encoder:
    __slots__ = ("_max_depth", "_max_values", "_out", "left")

    def __init__(
        self,
        out: bytearray,
        max_depth: int,
        max_values: int,
    ) -> None:
        self._out = out
        self._max_depth = max_depth
        self._max_values = self.left = max_values

    def write(self, value: Any, depth: int) -> None:
        out = self._out
        kind = type(value)
        if kind is str:
            try:
                raw = value.encode("utf-8")
            except UnicodeEncodeError:
                raise EncodeError("a str with a lone surrogate has no calldata") from None
            append_uleb128(out, len(raw) << 3 | _STR)
            out += raw
        elif kind is int:
            append_uleb128(out, value << 3 | _POSITIVE if value >= 0 else ~value << 3 | _NEGATIVE)
        elif value is None:
            out.append(_NULL)
        elif kind is bool:
            out.append(_TRUE if value else _FALSE)
        elif kind is bytes:
            append_uleb128(out, len(value) << 3 | _BYTES)
            out += value
        elif kind is dict:
            self._write_map(value, depth)
        elif kind is list or kind is tuple:
            self._write_list(value, depth)
        elif kind is Address:
            out.append(_ADDRESS)
            out += value.as_bytes
        else:
            self._write_other(value, depth)

    def _write_list(self, items: Sequence[Any], depth: int) -> None:
        self._check_depth(depth)
        self._count(len(items))
        append_uleb128(self._out, len(items) << 3 | _LIST)
        for index, item in enumerate(items):
            try:
                self.write(item, depth + 1)
            except EncodeError as error:
                raise EncodeError(error.reason, f"[{index}]{error.path}") from None

    def _write_map(self, entries: Mapping[str, Any], depth: int) -> None:
        self._check_depth(depth)
        self._count(2 * len(entries))
        out = self._out
        try:
            rows = sorted((key.encode("utf-8"), key) for key in entries)
        except UnicodeEncodeError:
            raise EncodeError("a map key with a lone surrogate has no calldata") from None
        except AttributeError:
            wrong = next(type(key).__name__ for key in entries if not isinstance(key, str))
            raise EncodeError(f"map keys are str, got {wrong}") from None
        append_uleb128(out, len(rows) << 3 | _MAP)
        for raw, key in rows:
            append_uleb128(out, len(raw))
            out += raw
            try:
                self.write(entries[key], depth + 1)
            except EncodeError as error:
                raise EncodeError(error.reason, f".{key}{error.path}") from None

    def _write_other(self, value: Any, depth: int) -> None:
        if type(value) is Encoded:
            self._count(value.values)
            self._out += value.content
            return None
        for base, plain in _PLAIN_FORMS:
            if isinstance(value, base):
                return self.write(plain(value), depth)
        if hasattr(type(value), "__dataclass_fields__"):
            names = type(value).__dataclass_fields__
            return self._write_map({name: getattr(value, name) for name in names}, depth)
        if isinstance(value, float):
            raise EncodeError("float has no calldata")
        self._check_depth(depth)
        return self.write(_plain_collection(value), depth + 1)

    def _check_depth(self, depth: int) -> None:
        if depth >= self._max_depth:
            raise EncodeError(f"nested deeper than {self._max_depth}")

    def _count(self, values: int) -> None:
        self.left -= values
        if self.left < 0:
            raise EncodeError(f"more than {self._max_values} values")


_PLAIN_FORMS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int),
    (str, str.__str__),
    (bytes, bytes),
    (bytearray, bytes),
    (memoryview, bytes),
    (Address, lambda value: Address(value.as_bytes)),
    (dict, dict),
    (list, list),
    (tuple, list),
)


def _plain_collection(value: object) -> dict[Any, Any] | list[Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise EncodeError(f"{type(value).__name__} has no calldata")


# --------------------------------------------------------------------------------------- decoding


def decode(
    data: bytes | bytearray | memoryview,
    *,
    max_depth: int = MAX_DEPTH,
    max_values: int = MAX_VALUES,
) -> Any:
    """Return the value that `data` encodes, all of it.

    Raises `DecodeError`, and nothing else, for any bytes that `encode` would not have written, for
    nesting deeper than `max_depth` and for more than `max_values` values. Allocates no more than
    the input can fill.
    """
    raw = bytes(data)
    decoder = _Decoder(raw, max_depth, max_values)
    try:
        value, end = decoder.read(0, 0)
    except IndexError:
        raise DecodeError("the input ends in the middle of a value", len(raw)) from None
    if end != len(raw):
        raise DecodeError(f"{len(raw) - end} bytes follow the value", end)
    return value


class _Decoder:
    __slots__ = ("_data", "_left", "_max_depth", "_max_values", "_size")

    def __init__(self, data: bytes, max_depth: int, max_values: int) -> None:
        self._data = data
        self._size = len(data)
        self._max_depth = max_depth
        self._max_values = self._left = max_values

    def read(self, at: int, depth: int) -> tuple[Any, int]:
        data = self._data
        head = data[at]
        if head < 0x80:
            after = at + 1
        else:
            head, after = self._number(at)
        kind, argument = head & 7, head >> 3
        if kind == _STR:
            return self._text(after, argument)
        if kind == _POSITIVE:
            return argument, after
        if kind == _MAP:
            return self._map(after, argument, at, depth)
        if kind == _LIST:
            return self._list(after, argument, at, depth)
        if kind == _BYTES:
            end = after + argument
            if end > self._size:
                raise DecodeError("more bytes are announced than follow", after)
            return data[after:end], end
        if kind == _NEGATIVE:
            return ~argument, after
        return self._atom(head, after, at)

    def _atom(self, head: int, after: int, at: int) -> tuple[Any, int]:
        if head == _NULL:
            return None, after
        if head == _TRUE:
            return True, after
        if head == _FALSE:
            return False, after
        if head == _ADDRESS:
            end = after + Address.SIZE
            if end > self._size:
                raise DecodeError("an address has 20 bytes, fewer follow", after)
            return Address(self._data[after:end]), end
        if head & 7 == _ATOM:
            raise DecodeError("a reserved atom stands", at)
        raise DecodeError("the reserved type 7 stands", at)

    def _text(self, at: int, length: int) -> tuple[str, int]:
        end = at + length
        if end > self._size:
            raise DecodeError("a str is announced longer than what follows", at)
        try:
            return self._data[at:end].decode("utf-8"), end
        except UnicodeDecodeError as error:
            raise DecodeError("a str is not UTF-8", at + error.start) from None

    def _list(self, at: int, count: int, start: int, depth: int) -> tuple[list[Any], int]:
        self._check_room(at, count, 1, start, depth)
        items = []
        read = self.read
        for _ in range(count):
            item, at = read(at, depth + 1)
            items.append(item)
        return items, at

    def _map(self, at: int, count: int, start: int, depth: int) -> tuple[dict[str, Any], int]:
        self._check_room(at, count, 2, start, depth)
        data, size, read = self._data, self._size, self.read
        entries: dict[str, Any] = {}
        previous: bytes | None = None
        for _ in range(count):
            key_at = at
            length = data[at]
            if length < 0x80:
                at += 1
            else:
                length, at = self._number(at)
            end = at + length
            if end > size:
                raise DecodeError("a key is announced longer than what follows", at)
            raw = data[at:end]
            if previous is not None and raw <= previous:
                raise DecodeError("map keys are not strictly increasing", key_at)
            previous = raw
            try:
                key = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DecodeError("a str is not UTF-8", at + error.start) from None
            entries[key], at = read(end, depth + 1)
        return entries, at

    def _check_room(self, at: int, count: int, least: int, start: int, depth: int) -> None:
        if count * least > self._size - at:
            raise DecodeError("more items are announced than bytes follow", at)
        if depth >= self._max_depth:
            raise DecodeError(f"nested deeper than {self._max_depth}", start)
        self._left -= count * least
        if self._left < 0:
            raise DecodeError(f"more than {self._max_values} values", start)

    def _number(self, at: int) -> tuple[int, int]:
        """Return the number that begins at `at` and has more than one byte, and where it ends."""
        number, end = read_uleb128(self._data, at)
        if self._data[end - 1] == 0:
            raise DecodeError("a number is padded with a zero byte", end - 1)
        return number, end
