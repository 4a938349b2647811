"""The ABI of Ethereum contracts: values as 32-byte words (Contract ABI specification).

A type is static, and lies in place, or dynamic, and then an offset to it lies in place. What is
not as there is said at `TupleType` (source: docs/spec/07-python-sdk.md#10-evm-contracts-glevm).
"""

from __future__ import annotations

from _collections_abc import Buffer, Sequence

from ..storage import Array, DynArray
from ..types import BY_NAME, Address, NewType, SizedArray

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

WORD = 32

BYTES: dict[Any, int] = {}
"""The types `bytes1` to `bytes32`, and how many bytes each has."""

for _size in range(1, WORD + 1):
    _made = NewType(f"bytes{_size}", bytes)
    _made.__module__ = "genlayer.py.evm"
    BYTES[_made] = _size


class InplaceTuple:
    """In front of the parts, as in `tuple[InplaceTuple, u8, str]`: the tuple gets no offset."""


class AbiType:
    """One type: its `name` as signatures spell it, and its `size` in place."""

    name: str
    size = WORD
    dynamic = False

    def encode(self, value: Any) -> bytes:
        """Return the words of `value`."""
        raise NotImplementedError

    def decode(self, data: bytes, at: int) -> Any:
        """Return the value whose words begin at `at`."""
        raise NotImplementedError


class _Int(AbiType):
    """A sized integer. Its width is in its name only."""

    def __init__(self, bits: int, signed: bool) -> None:
        self.name = f"{'' if signed else 'u'}int{bits}"
        self._signed = signed

    def encode(self, value: int) -> bytes:
        _expect(value, int)
        return int.to_bytes(value, WORD, "big", signed=self._signed)

    def decode(self, data: bytes, at: int) -> int:
        return int.from_bytes(_word(data, at), "big", signed=self._signed)


class _Bool(AbiType):
    name = "bool"

    def encode(self, value: Any) -> bytes:
        return _number(bool(value))

    def decode(self, data: bytes, at: int) -> bool:
        return any(_word(data, at))


class _AddressType(AbiType):
    name = "address"

    def encode(self, value: Address) -> bytes:
        _expect(value, Address)
        return value.as_bytes.rjust(WORD, b"\0")

    def decode(self, data: bytes, at: int) -> Address:
        return Address(_word(data, at)[WORD - Address.SIZE :])


class _FixedBytes(AbiType):
    """`bytes1` to `bytes32`; it is decoded to a memoryview."""

    def __init__(self, size: int) -> None:
        self.name = f"bytes{size}"
        self._length = size

    def encode(self, value: Buffer) -> bytes:
        _expect(value, Buffer)
        raw = bytes(value)
        _assert_count(self.name, "bytes", self._length, len(raw))
        return raw.ljust(WORD, b"\0")

    def decode(self, data: bytes, at: int) -> memoryview:
        return memoryview(_word(data, at))[: self._length]


class _Bytes(AbiType):
    name = "bytes"
    dynamic = True

    def encode(self, value: Buffer) -> bytes:
        _expect(value, Buffer)
        raw = bytes(value)
        return _number(len(raw)) + raw + bytes(-len(raw) % WORD)

    def decode(self, data: bytes, at: int) -> bytes:
        length = _count(data, at)
        raw = data[at + WORD : at + WORD + length]
        if len(raw) != length:
            raise ValueError(f"{self.name} is cut off")
        return raw


class _String(_Bytes):
    name = "string"

    def encode(self, value: str) -> bytes:
        _expect(value, str)
        return super().encode(value.encode())

    def decode(self, data: bytes, at: int) -> str:
        return super().decode(data, at).decode()


class TupleType(AbiType):
    """Several values, one after another: also the arguments of a method.

    A part that is a tuple without offset is written after the heads of the parts behind it, where
    the specification of Ethereum has it in place: `((1, 2), 3)` gives the words 3, 1, 2. Contracts
    of line v0.2 send it like that. Answers are read as Ethereum writes them.
    """

    def __init__(self, parts: Sequence[AbiType], *, inplace: bool = False) -> None:
        self.name = f"({','.join(part.name for part in parts)})"
        self.dynamic = not inplace and any(part.dynamic for part in parts)
        self.size = WORD if self.dynamic else sum(part.size for part in parts)
        self._parts = parts

    def encode(self, value: Sequence[Any]) -> bytes:
        """Return the words of all values: the heads, then what lies behind them."""
        _assert_count(self.name, "values", len(self._parts), len(value))
        return _encode_parts(self._parts, value, lambda part: isinstance(part, TupleType))

    def decode(self, data: bytes, at: int) -> tuple[Any, ...]:
        """Return the values whose words begin at `at`."""
        return tuple(_decode_parts(self._parts, data, at))


class _ArrayType(AbiType):
    """`T[]`, or `T[n]` when it has a length. It is decoded to a list."""

    def __init__(self, item: AbiType, length: int | None) -> None:
        self.name = f"{item.name}[{'' if length is None else length}]"
        self.dynamic = length is None or item.dynamic
        self.size = WORD if self.dynamic else item.size * (length or 0)
        self._item = item
        self._length = length

    def encode(self, value: Sequence[Any]) -> bytes:
        items = _encode_parts([self._item] * len(value), value, lambda _: False)
        if self._length is None:
            return _number(len(value)) + items
        _assert_count(self.name, "items", self._length, len(value))
        return items

    def decode(self, data: bytes, at: int) -> list[Any]:
        length = self._length
        if length is None:
            length, at = _count(data, at), at + WORD
        return _decode_parts([self._item] * length, data, at)


def _encode_parts(
    parts: Sequence[AbiType], values: Sequence[Any], is_behind: Callable[[AbiType], bool]
) -> bytes:
    """Return the heads of all parts, then the dynamic ones and those that `is_behind` names."""
    heads, behind = [], []
    reached = sum(WORD if part.dynamic else 0 if is_behind(part) else part.size for part in parts)
    for part, value in zip(parts, values, strict=True):
        encoded = part.encode(value)
        if part.dynamic:
            heads.append(_number(reached))
        if part.dynamic or is_behind(part):
            behind.append(encoded)
            reached += len(encoded)
        else:
            heads.append(encoded)
    return b"".join(heads + behind)


def _decode_parts(parts: Sequence[AbiType], data: bytes, start: int) -> list[Any]:
    values, at = [], start
    for part in parts:
        values.append(part.decode(data, start + _count(data, at) if part.dynamic else at))
        at += part.size
    return values


_PLAIN = {bool: _Bool, Address: _AddressType, str: _String, bytes: _Bytes}
_INTS = {
    BY_NAME[f"{letter}{bits}"]: (bits, letter == "i")
    for letter in "ui"
    for bits in range(8, 257, 8)
}


def abi_type(annotation: Any) -> AbiType:
    """Return the ABI type for an annotation. Raises `TypeError` when Ethereum has none."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]()
    if annotation in _INTS:
        return _Int(*_INTS[annotation])
    if annotation in BYTES:
        return _FixedBytes(BYTES[annotation])
    origin, args = getattr(annotation, "__origin__", None), getattr(annotation, "__args__", None)
    if origin is tuple and args is not None:
        inplace = args[:1] == (InplaceTuple,)
        return TupleType([abi_type(arg) for arg in args[inplace:]], inplace=inplace)
    if origin in (list, Sequence, DynArray) and args:
        return _ArrayType(abi_type(args[0]), None)
    if origin in (Array, SizedArray) and args:
        return _ArrayType(abi_type(args[0]), _literal(args[1]))
    hint = "; use a sized integer such as u256" if annotation is int else ""
    raise TypeError(f"{annotation!r} has no type in Ethereum's ABI{hint}")


def type_name_of(annotation: Any) -> str:
    """Return the type's name in a signature, such as `uint8[]`; `TypeError` when it has none."""
    return abi_type(annotation).name


def encode(annotation: Any, value: Any) -> bytes:
    """Return the words of `value`; one of a dynamic type gets the word of its offset in front.

    Raises `AssertionError` for another number of values than the type has, `OverflowError` for a
    negative value of an unsigned type, and `TypeError` for a value of another type.
    """
    return TupleType([abi_type(annotation)]).encode((value,))


def decode(annotation: Any, data: Buffer) -> Any:
    """Return the value that `encode` would write so. Raises `ValueError` for cut off data."""
    return TupleType([abi_type(annotation)]).decode(bytes(data), 0)[0]


def _literal(annotation: Any) -> int:
    """Return n for `Literal[n]`, and for n itself."""
    return getattr(annotation, "__args__", (annotation,))[0]


def _expect(value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{kind.__name__} expected, got {type(value).__name__}")


def _assert_count(name: str, what: str, expected: int, got: int) -> None:
    if expected != got:
        raise AssertionError(f"{name} has {expected} {what}, got {got}")


def _number(value: int) -> bytes:
    return value.to_bytes(WORD, "big")


def _word(data: bytes, at: int) -> bytes:
    word = data[at : at + WORD]
    if len(word) != WORD:
        raise ValueError(f"the answer ends at byte {len(data)}, in the middle of a value")
    return word


def _count(data: bytes, at: int) -> int:
    """Return a length or an offset; never more than there is data."""
    count = int.from_bytes(_word(data, at), "big")
    if count > len(data):
        raise ValueError(f"a length or offset of {count} in {len(data)} bytes")
    return count
