"""`gl.public` and `gl.private`: the decorators that say what may be called from outside.

They set attributes of the method, which the machine and the schema read, and give it back (source:
docs/spec/07-python-sdk.md#5-the-contract-class-and-calls).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Method = Callable[..., Any]

__all__ = ("private", "public")


def _mark(method: Method, *, readonly: bool, payable: bool, leader: int, validator: int) -> Method:
    method.__gl_public__ = True
    method.__gl_readonly__ = readonly
    method.__gl_payable__ = payable
    method.__gl_min_gas_leader__ = leader
    method.__gl_min_gas_validator__ = validator
    return method


class _Write:
    """`@gl.public.write`: a method that may change storage."""

    __slots__ = ("_leader", "_validator")

    def __init__(self, leader: int = 0, validator: int = 0) -> None:
        self._leader = leader
        self._validator = validator

    def __call__(self, method: Method) -> Method:
        return self._mark(method, payable=False)

    def payable(self, method: Method) -> Method:
        """Mark a method that may change storage and be sent value (`@gl.public.write.payable`)."""
        return self._mark(method, payable=True)

    def min_gas(self, *, leader: int, validator: int) -> _Write:
        """Return a decorator that puts the least gas into the schema, too.

        It is used as `@gl.public.write.min_gas(leader=…, validator=…)`, and has `.payable`. The
        machine does not read the numbers; 0 stands for none.
        """
        return _Write(leader, validator)

    def _mark(self, method: Method, *, payable: bool) -> Method:
        return _mark(
            method,
            readonly=False,
            payable=payable,
            leader=self._leader,
            validator=self._validator,
        )


class public:  # noqa: N801 - it is used as a namespace
    """Decorators of the methods that may be called from outside."""

    write = _Write()

    @staticmethod
    def view(method: Method) -> Method:
        """Mark a method that reads and changes nothing (`@gl.public.view`)."""
        return _mark(method, readonly=True, payable=False, leader=0, validator=0)


def private(method: Method) -> Method:
    """Mark a method as internal, for readers (`@gl.private`).

    A method without decorator cannot be called from outside either.
    """
    return method
