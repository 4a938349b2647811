"""The ABI of Ethereum contracts: values as 32-byte words (Contract ABI specification).

A type is static, and lies in place, or dynamic, and then an offset to it lies in place.
"""

from __future__ import annotations

from ..calldata import Address
from ..storage.arrays import Array, DynArray
from ..types import IntType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

WORD = 32


class AbiError(ValueError):
    """A value that does not fit its ABI type, or bytes that are no value of it."""


class FixedBytes:
    """The annotation `bytes1` to `bytes32`."""

    __slots__ = ("__name__", "size")
    __supertype__ = bytes

    def __init__(self, size: int) -> None:
        self.__name__ = f"bytes{size}"
        self.size = size

    def __call__(self, value: bytes) -> bytes:
        """Return `value`."""
        return value

    def __repr__(self) -> str:
        return self.__name__


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
    def __init__(self, bits: int, signed: bool) -> None:
        self.name = f"{'' if signed else 'u'}int{bits}"
        self._signed = signed
        self._least = -(1 << bits - 1) if signed else 0
        self._limit = self._least + (1 << bits)

    def encode(self, value: int) -> bytes:
        if not isinstance(value, int) or not self._least <= value < self._limit:
            raise AbiError(f"{self.name} expected, got {value!r}")
        return value.to_bytes(WORD, "big", signed=self._signed)

    def decode(self, data: bytes, at: int) -> int:
        value = int.from_bytes(_word(data, at), "big", signed=self._signed)
        if not self._least <= value < self._limit:
            raise AbiError(f"{value} is no {self.name}")
        return value


class _Bool(_Int):
    def __init__(self) -> None:
        super().__init__(1, False)
        self.name = "bool"

    def decode(self, data: bytes, at: int) -> bool:
        return bool(super().decode(data, at))


class _AddressType(AbiType):
    name = "address"

    def encode(self, value: Address) -> bytes:
        if not isinstance(value, Address):
            raise AbiError(f"Address expected, got {type(value).__name__}")
        return value.as_bytes.rjust(WORD, b"\0")

    def decode(self, data: bytes, at: int) -> Address:
        return Address(_word(data, at)[WORD - Address.SIZE :])


class _FixedBytesType(AbiType):
    def __init__(self, size: int) -> None:
        self.name = f"bytes{size}"
        self._length = size

    def encode(self, value: bytes) -> bytes:
        if not isinstance(value, bytes) or len(value) != self._length:
            raise AbiError(f"{self.name} expected, got {value!r:.80}")
        return value.ljust(WORD, b"\0")

    def decode(self, data: bytes, at: int) -> bytes:
        return _word(data, at)[: self._length]


class _Bytes(AbiType):
    dynamic = True

    def __init__(self, python_type: type) -> None:
        self.name = "string" if python_type is str else "bytes"
        self._python_type = python_type

    def encode(self, value: str | bytes) -> bytes:
        if not isinstance(value, self._python_type):
            raise AbiError(f"{self._python_type.__name__} expected, got {type(value).__name__}")
        raw = value.encode() if isinstance(value, str) else value
        return _number(len(raw)) + raw + bytes(-len(raw) % WORD)

    def decode(self, data: bytes, at: int) -> str | bytes:
        length = _count(data, at)
        raw = data[at + WORD : at + WORD + length]
        if len(raw) != length:
            raise AbiError(f"{self.name} is cut off")
        return raw.decode() if self._python_type is str else raw


class TupleType(AbiType):
    """Several values, one after another: also the arguments of a method."""

    def __init__(self, parts: Sequence[AbiType]) -> None:
        self.name = f"({','.join(part.name for part in parts)})"
        self.dynamic = any(part.dynamic for part in parts)
        self.in_place = sum(WORD if part.dynamic else part.size for part in parts)
        self.size = WORD if self.dynamic else self.in_place
        self._parts = parts

    def encode(self, value: Sequence[Any]) -> bytes:
        """Return the words of all values: those in place, then those of dynamic types."""
        if len(value) != len(self._parts):
            raise AbiError(f"{self.name} has {len(self._parts)} values, got {len(value)}")
        heads, tails, reached = [], [], self.in_place
        for part, each in zip(self._parts, value, strict=True):
            encoded = part.encode(each)
            if part.dynamic:
                heads.append(_number(reached))
                tails.append(encoded)
                reached += len(encoded)
            else:
                heads.append(encoded)
        return b"".join(heads + tails)

    def decode(self, data: bytes, at: int) -> tuple[Any, ...]:
        """Return the values whose words begin at `at`."""
        values, place = [], at
        for part in self._parts:
            where = at + _count(data, place) if part.dynamic else place
            values.append(part.decode(data, where))
            place += WORD if part.dynamic else part.size
        return tuple(values)


class _ArrayType(AbiType):
    """`T[]`, or `T[n]` when it has a length."""

    def __init__(self, item: AbiType, length: int | None) -> None:
        self.name = f"{item.name}[{'' if length is None else length}]"
        self.dynamic = length is None or item.dynamic
        self.size = WORD if self.dynamic else item.size * (length or 0)
        self._item = item
        self._length = length

    def encode(self, value: Sequence[Any]) -> bytes:
        items = TupleType([self._item] * len(value)).encode(list(value))
        if self._length is None:
            return _number(len(value)) + items
        if len(value) != self._length:
            raise AbiError(f"{self.name} has {self._length} items, got {len(value)}")
        return items

    def decode(self, data: bytes, at: int) -> list[Any]:
        length = self._length
        if length is None:
            length, at = _count(data, at), at + WORD
        return list(TupleType([self._item] * length).decode(data, at))


_PLAIN = {
    bool: _Bool,
    Address: _AddressType,
    str: lambda: _Bytes(str),
    bytes: lambda: _Bytes(bytes),
}


def abi_type(annotation: Any) -> AbiType:
    """Return the ABI type for an annotation; `TypeError` when Ethereum has none."""
    if isinstance(annotation, IntType) and annotation.bits:
        return _Int(annotation.bits, annotation.signed)
    if isinstance(annotation, FixedBytes):
        return _FixedBytesType(annotation.size)
    if isinstance(annotation, type) and annotation in _PLAIN:
        return _PLAIN[annotation]()
    origin, args = getattr(annotation, "__origin__", None), getattr(annotation, "__args__", ())
    if origin in (list, DynArray):
        return _ArrayType(abi_type(args[0]), None)
    if origin is Array:
        return _ArrayType(abi_type(args[0]), getattr(args[1], "__args__", args[1:])[0])
    if origin is tuple:
        return TupleType([abi_type(arg) for arg in args])
    hint = "; use a sized integer such as u256" if annotation is int else ""
    raise TypeError(f"{annotation!r} has no type in Ethereum's ABI{hint}")


def _number(value: int) -> bytes:
    return value.to_bytes(WORD, "big")


def _word(data: bytes, at: int) -> bytes:
    word = data[at : at + WORD]
    if len(word) != WORD:
        raise AbiError(f"the answer ends at byte {len(data)}, in the middle of a value")
    return word


def _count(data: bytes, at: int) -> int:
    """Return a length or an offset; never more than there is data."""
    count = int.from_bytes(_word(data, at), "big")
    if count > len(data):
        raise AbiError(f"a length or offset of {count} in {len(data)} bytes")
    return count
