"""`gl.Contract`, and the decorators that say what may be called from outside."""

from __future__ import annotations

from . import _host
from .message import message
from .storage.layout import stored_type
from .storage.records import make_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .calldata import Address

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


class Contract:
    """The base of the contract class, of which a file has one.

    Its annotated attributes are kept in storage, its decorated methods may be called, and
    `__init__` runs once, on deployment. A message without method that carries value goes to
    `__receive__`, another that fits no method to `__handle_undefined_method__(name, args, kwargs)`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        make_fields(cls)
        stored_type(cls)

    @property
    def address(self) -> Address:
        """The address of this contract."""
        return message.contract_address

    @property
    def balance(self) -> int:
        """The balance of this contract, less the value that its messages of this run send."""
        return _host.get_self_balance()


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
