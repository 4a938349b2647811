"""The types of values: sized integers, `Address`, `Lazy`, and what stands beside them.

Source: docs/spec/07-python-sdk.md#2-types.
"""

from __future__ import annotations

import binascii
import sys

from .keccak import Keccak256, keccak256  # noqa: F401 - contracts find the class here as well

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Buffer, Callable, Iterable
    from typing import Any

_GenericAlias = type(list[int])


class NewType:
    """What `typing.NewType` makes: an annotation that gives its argument back unchanged.

    `typing` itself is not imported: each contract call would wait for it. Where a contract imports
    it, these are instances of `typing.NewType` as well.
    """

    def __init__(self, name: str, supertype: type) -> None:
        self.__name__ = self.__qualname__ = name
        self.__supertype__ = supertype

    @property
    def __class__(self) -> type:
        typing = sys.modules.get("typing")
        return NewType if typing is None else typing.NewType

    def __call__(self, value: Any, /) -> Any:
        """Return `value` as it is: a number is checked where it is stored."""
        return value

    def __repr__(self) -> str:
        return f"{self.__module__}.{self.__qualname__}"

    def __reduce__(self) -> str:
        return self.__name__

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        raise TypeError(f"{self.__name__} is no class, so it has no subclasses")

    def __or__(self, other: object) -> object:
        from typing import Union

        return Union[self, other]  # noqa: UP007 - `|` is what asks

    def __ror__(self, other: object) -> object:
        from typing import Union

        return Union[other, self]  # noqa: UP007


BY_NAME = {
    name: NewType(name, int)
    for name in ("bigint", *(f"{sign}{bits}" for sign in "ui" for bits in range(8, 257, 8)))
}
"""The integers by name; each is a name of this module as well."""

globals().update(BY_NAME)


class Lazy:
    """A result that is worked out when `get()` is first called."""

    __slots__ = ("_error", "_find", "_value")
    __class_getitem__ = classmethod(_GenericAlias)

    def __init__(self, find: Callable[[], Any], /) -> None:
        self._find: Callable[[], Any] | None = find
        self._error: Exception | None = None

    def get(self) -> Any:
        """Return the result, the same each time; an exception is raised each time as well."""
        if self._find is not None:
            try:
                self._value = self._find()
            except Exception as error:
                self._error = error
            self._find = None
        if self._error is not None:
            raise self._error
        return self._value


class SizedArray:
    """A sequence of a fixed length, as an annotation: `SizedArray[T, Literal[n]]`."""

    __class_getitem__ = classmethod(_GenericAlias)


class Address:
    """The 20 bytes that name an account or a contract.

    Made of `0x` and 40 hex digits in any case, of base64, or of 20 bytes. Raises `ValueError` for
    digits that are none, `TypeError` for what has no bytes, another `Address` too, and `Exception`
    for another number of bytes.
    """

    SIZE = 20
    __slots__ = ("_bytes", "_hex")

    def __init__(self, val: str | Buffer | Iterable[int]) -> None:
        raw = _bytes_of_text(val) if isinstance(val, str) else bytes(val)
        if len(raw) != Address.SIZE:
            raise Exception(f"an address is 20 bytes, 0x and 40 hex digits, or base64; got {val!r}")
        self._bytes = raw
        self._hex: str | None = None

    @property
    def as_bytes(self) -> bytes:
        """The 20 bytes."""
        return self._bytes

    @property
    def as_hex(self) -> str:
        """`0x` and 40 hex digits, whose case is the EIP-55 checksum."""
        if self._hex is None:
            digits = self._bytes.hex()
            checksum = keccak256(digits.encode()).hex()
            marked = (d.upper() if c >= "8" else d for d, c in zip(digits, checksum, strict=False))
            self._hex = "0x" + "".join(marked)
        return self._hex

    @property
    def as_b64(self) -> str:
        """The 20 bytes in base64."""
        return binascii.b2a_base64(self._bytes, newline=False).decode()

    @property
    def as_int(self) -> int:
        """The 20 bytes as a little-endian number."""
        return int.from_bytes(self._bytes, "little")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and self._bytes == other._bytes

    def __lt__(self, other: Address) -> bool:
        return self._bytes < _bytes_to_compare(other)

    def __le__(self, other: Address) -> bool:
        return self._bytes <= _bytes_to_compare(other)

    def __gt__(self, other: Address) -> bool:
        return self._bytes > _bytes_to_compare(other)

    def __ge__(self, other: Address) -> bool:
        return self._bytes >= _bytes_to_compare(other)

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __str__(self) -> str:
        return self.as_hex

    def __repr__(self) -> str:
        return f'Address("{self.as_hex}")'

    def __format__(self, spec: str) -> str:
        if spec in ("x", "s"):
            return self.as_hex
        if spec == "b64":
            return self.as_b64
        if spec == "cd":
            return "addr#" + self._bytes.hex()
        if not spec:
            return repr(self)
        raise TypeError(f"an address is formatted by '', 's', 'x', 'b64' or 'cd', not {spec!r}")


_HEX_LENGTH = 42
_SHORTEST_BASE64 = 21


def _bytes_of_text(text: str) -> bytes:
    if len(text) == _HEX_LENGTH and text.startswith("0x"):
        return bytes.fromhex(text[2:])
    return binascii.a2b_base64(text) if len(text) >= _SHORTEST_BASE64 else b""


def _bytes_to_compare(other: object) -> bytes:
    if not isinstance(other, Address):
        raise AssertionError(f"an address is not ordered against {type(other).__name__}")
    return other._bytes
