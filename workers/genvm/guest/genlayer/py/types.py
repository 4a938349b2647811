"""The sized integers `u8` … `u256` and `i8` … `i256`, and `bigint`.

They are annotations that say how much room a number takes in storage; at run time the values are
plain `int`. `u256(x)` is `x`: a number is checked where it is stored.
"""

from __future__ import annotations


class IntType:
    """An annotation for `int`: `bits` wide, or of any size when `bits` is 0 (`bigint`)."""

    __slots__ = ("__name__", "bits", "signed")
    __supertype__ = int

    def __init__(self, name: str, bits: int, signed: bool) -> None:
        self.__name__ = name
        self.bits = bits
        self.signed = signed

    def __call__(self, value: int = 0) -> int:
        """Return `value`: a number is checked where it is stored."""
        return value

    def __repr__(self) -> str:
        return self.__name__

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _named, (self.__name__,)

    def __or__(self, other: object) -> object:
        from typing import Union

        return Union[self, other]  # noqa: UP007 - `|` is what asks

    def __ror__(self, other: object) -> object:
        from typing import Union

        return Union[other, self]  # noqa: UP007


BITS = range(8, 257, 8)

BY_NAME = {f"u{bits}": IntType(f"u{bits}", bits, False) for bits in BITS}
BY_NAME |= {f"i{bits}": IntType(f"i{bits}", bits, True) for bits in BITS}
BY_NAME["bigint"] = bigint = IntType("bigint", 0, True)
globals().update(BY_NAME)


def _named(name: str) -> IntType:
    return BY_NAME[name]
