"""`gl.public` and `gl.private`: the decorators that say what may be called from outside."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ("private", "public")

_ACCESS = "__gl_access__"


class Access:
    """How a public method may be called."""

    __slots__ = ("payable", "read_only")

    def __init__(self, read_only: bool, payable: bool) -> None:
        self.read_only = read_only
        self.payable = payable


def access_of(method: Any) -> Access | None:
    """Return how `method` may be called from outside; None: not at all."""
    return getattr(method, _ACCESS, None)


def _mark(method: Callable[..., Any], read_only: bool, payable: bool) -> Callable[..., Any]:
    if not callable(method):
        raise TypeError(f"gl.public decorates methods, got {type(method).__name__}")
    setattr(method, _ACCESS, Access(read_only, payable))
    return method


class _Write:
    """`@gl.public.write`: may change storage. `.payable`: may be sent value, too."""

    def __call__(self, method: Callable[..., Any]) -> Callable[..., Any]:
        return _mark(method, read_only=False, payable=False)

    def payable(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Mark a method that may change storage and be sent value (`@gl.public.write.payable`)."""
        return _mark(method, read_only=False, payable=True)

    def min_gas(self, *, leader: int, validator: int) -> _Write:  # noqa: ARG002
        """Accept `@gl.public.write.min_gas(leader=…, validator=…)`, which has no effect here."""
        return self


class public:  # noqa: N801 - it is used as a namespace
    """Decorators of the methods that may be called from outside."""

    write = _Write()

    @staticmethod
    def view(method: Callable[..., Any]) -> Callable[..., Any]:
        """Mark a method that reads and changes nothing (`@gl.public.view`)."""
        return _mark(method, read_only=True, payable=False)


def private(method: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a method as internal, for readers (`@gl.private`).

    A method without decorator cannot be called from outside either.
    """
    return method
