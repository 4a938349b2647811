"""Contracts of the Ethereum chain beneath: their methods, calls and messages.

Source: docs/spec/07-python-sdk.md#10-evm-contracts-glevm.
"""

from __future__ import annotations

from ..._machine import host
from ..._machine.wire import Lazy, call_host, lazy_call
from ..keccak import keccak256
from .abi import TupleType, abi_type, decode, type_name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..types import Address

    Methods = dict[str, "MethodEncoder"]

_GenericAlias = type(list[int])
_Function = type(lambda: None)
_VARIADIC = 0x04 | 0x08  # CO_VARARGS, CO_VARKEYWORDS


def signature_of(name: str, arguments: Any) -> str:
    """Return `name(uint8,string)` for the method of that name; `arguments` is a `tuple[…]`."""
    return name + type_name_of(arguments)


def selector_of(name: str, arguments: Any) -> bytes:
    """Return the 4 bytes with which a call of the method begins; `arguments` is a `tuple[…]`."""
    return keccak256(signature_of(name, arguments).encode())[:4]


class MethodEncoder:
    """One method of an Ethereum contract: its name, and the types that it takes and returns."""

    def __init__(self, name: str, params: Sequence[Any], ret: Any) -> None:
        self.name = name
        self.params = tuple(params)
        self.ret = ret
        self.selector = selector_of(name, tuple[self.params])
        self._arguments = TupleType([abi_type(param) for param in self.params])

    def encode_call(self, args: Sequence[Any]) -> bytes:
        """Return the call as the Ethereum contract reads it. Raises what `abi.encode` raises."""
        return self.selector + self._arguments.encode(args)

    def decode_ret(self, data: bytes) -> Any:
        """Return what the contract returned; None where it returns nothing."""
        return None if self.ret in (None, type(None)) else decode(self.ret, data)


class ContractProxy:
    """An Ethereum contract at an address; `contract_interface` makes its classes.

    For type checkers it has two parameters, `View` and `Write`.
    """

    __slots__ = ("address",)
    __class_getitem__ = classmethod(_GenericAlias)

    _views: Methods
    _writes: Methods

    def __init__(self, address: Address) -> None:
        self.address = address

    def view(self) -> _BoundMethods:
        """Return its `View` methods, to be called now; each has `.lazy`."""
        return _BoundMethods(self._views, self._viewing)

    def emit(self, *, value: int = 0) -> _BoundMethods:
        """Return its `Write` methods, as messages that are sent when this run is finalized.

        They carry no value, whatever `value` says: contracts of line v0.2 rely on it.
        """
        del value
        return _BoundMethods(self._writes, self._sending)

    def emit_transfer(self, *, value: int = 0) -> None:
        """Send it `value`, without calling a method."""
        call_host({"EthSend": {"address": self.address, "calldata": b"", "value": value}})

    @property
    def balance(self) -> int:
        """Its balance."""
        return host.get_balance(self.address.as_bytes)

    def _viewing(self, method: MethodEncoder) -> Callable[..., Any]:
        def call(*args: Any) -> Lazy:
            request = {"address": self.address, "calldata": method.encode_call(args)}
            raw = call_host({"EthCall": request})
            return Lazy(lambda: method.decode_ret(raw))

        return lazy_call(call)

    def _sending(self, method: MethodEncoder) -> Callable[..., None]:
        def call(*args: Any) -> None:
            request = {"address": self.address, "calldata": method.encode_call(args), "value": 0}
            call_host({"EthSend": request})

        return call


class ContractDeclaration:
    """What `contract_interface` is applied to: a class with the inner classes `View` and `Write`.

    For type checkers it has these two as parameters.
    """

    __slots__ = ()
    __class_getitem__ = classmethod(_GenericAlias)


class _BoundMethods:
    """The methods of one side of an interface, as attributes; `bind` makes each callable."""

    __slots__ = ("_bind", "_methods")

    def __init__(self, methods: Methods, bind: Callable[[MethodEncoder], Any]) -> None:
        self._methods = methods
        self._bind = bind

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = self._methods.get(name)
        if method is None:
            known = ", ".join(self._methods) or "none"
            raise AttributeError(f"the interface has no such method {name} here; it has {known}")
        return self._bind(method)

    def __reduce__(self) -> Any:
        # Else unpickling would look for a method `__setstate__` before there are any methods.
        return _BoundMethods, (self._methods, self._bind)


def contract_interface(declaration: type) -> type[ContractProxy]:
    """Class decorator: `declaration(address)` is the Ethereum contract there.

    Its inner classes `View` and `Write` say which methods there are: `self`, then positional-only
    parameters with a type and without a default. Raises `AssertionError` for another method, and
    `TypeError` for a type that Ethereum does not have.
    """
    names = {
        "__doc__": declaration.__doc__,
        "__module__": declaration.__module__,
        "__qualname__": declaration.__qualname__,
        "__slots__": (),
        "_views": _methods_of(declaration, "View"),
        "_writes": _methods_of(declaration, "Write"),
    }
    return type(declaration.__name__, (ContractProxy,), names)


def _methods_of(declaration: type, part: str) -> Methods:
    side = getattr(declaration, part, None)
    methods = {}
    for name in dir(side):
        function = getattr(side, name)
        if isinstance(function, _Function) and not name.startswith("__"):
            try:
                methods[name] = _method(name, function)
            except (AssertionError, TypeError) as error:
                raise type(error)(f"{declaration.__name__}.{part}.{name}: {error}") from None
    return methods


def _method(name: str, function: Callable[..., Any]) -> MethodEncoder:
    code, hints = function.__code__, _hints(function)
    taken = code.co_varnames[: code.co_argcount]
    if taken[:1] != ("self",):
        raise AssertionError("the first parameter is self")
    if code.co_kwonlyargcount or code.co_flags & _VARIADIC:
        raise AssertionError("the parameters are positional-only")
    if len(taken) > max(code.co_posonlyargcount, 1):
        raise AssertionError("the parameters are positional-only: write `/` behind them")
    if function.__defaults__:
        raise AssertionError("the parameters have no defaults")
    for each in taken[1:]:
        if each not in hints:
            raise AssertionError(f"{each} needs a type")
    return MethodEncoder(name, [hints[each] for each in taken[1:]], hints.get("return"))


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations, those written as text read, for which alone `typing` is imported."""
    hints = function.__annotations__
    if not any(isinstance(each, str) for each in hints.values()):
        return hints
    from typing import get_type_hints

    return get_type_hints(function)
