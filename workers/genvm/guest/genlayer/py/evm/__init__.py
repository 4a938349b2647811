"""`gl.evm`: contracts of the Ethereum chain beneath.

@gl.evm.contract_interface
class Token:
    class View:
        def balance_of(self, owner: Address) -> u256: ...
    class Write:
        def transfer(self, to: Address, amount: u256, /) -> bool: ...

Token(address).view().balance_of(owner)
Token(address).emit().transfer(to, u256(5))     # sent when this run is finalized
"""

from __future__ import annotations

from ..._machine import host
from ..._machine.wire import Lazy, call_host
from ..calldata import Address
from ..keccak import keccak256
from ..storage.layout import evaluate
from .abi import AbiError, FixedBytes, TupleType, abi_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

globals().update({f"bytes{size}": FixedBytes(size) for size in range(1, 33)})


class Method:
    """One method of an Ethereum contract."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        code = function.__code__
        names = code.co_varnames[1 : code.co_argcount]
        if code.co_kwonlyargcount or code.co_flags & 0x0C:
            raise TypeError(f"{name}: a method of an Ethereum contract has positional parameters")
        self.arguments = TupleType([abi_type(_annotation(function, each)) for each in names])
        returned = function.__annotations__.get("return")
        if isinstance(returned, str):
            returned = evaluate(returned, function)
        self.returned = None if returned in (None, type(None)) else TupleType([abi_type(returned)])
        self.signature = name + self.arguments.name
        self.selector = keccak256(self.signature.encode())[:4]

    def call_bytes(self, args: tuple[Any, ...]) -> bytes:
        """Return the call as the Ethereum contract reads it."""
        return self.selector + self.arguments.encode(args)

    def result(self, raw: bytes) -> Any:
        """Return what the contract returned."""
        return None if self.returned is None else self.returned.decode(raw, 0)[0]


class EvmContract:
    """An Ethereum contract at an address; `contract_interface` makes its classes."""

    __slots__ = ("address",)

    views: dict[str, Method]
    writes: dict[str, Method]

    def __init__(self, address: Address) -> None:
        self.address = address if isinstance(address, Address) else Address(address)

    def view(self) -> _Methods:
        """Return its `View` methods, to be called now; each has `.lazy`."""
        return _Methods(self.views, self._call)

    def emit(self, *, value: int = 0, on: str = "finalized") -> _Methods:
        """Return its `Write` methods, as messages that are sent when this run is finalized."""
        _check_moment(on)
        return _Methods(self.writes, lambda method, args: self._send(method, args, value))

    def emit_transfer(self, value: int, *, on: str = "finalized") -> None:
        """Send it `value`, without calling a method."""
        _check_moment(on)
        call_host({"EthSend": {"address": self.address, "calldata": b"", "value": value}})

    @property
    def balance(self) -> int:
        """Its balance."""
        return host.get_balance(self.address.as_bytes)

    def _call(self, method: Method, args: tuple[Any, ...]) -> Lazy:
        calldata = method.call_bytes(args)
        raw = call_host({"EthCall": {"address": self.address, "calldata": calldata}})
        return Lazy(lambda: method.result(raw))

    def _send(self, method: Method, args: tuple[Any, ...], value: int) -> None:
        calldata = method.call_bytes(args)
        call_host({"EthSend": {"address": self.address, "calldata": calldata, "value": value}})


class _Methods:
    __slots__ = ("_methods", "_start")

    def __init__(self, methods: dict[str, Method], start: Callable[..., Any]) -> None:
        self._methods = methods
        self._start = start

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = self._methods.get(name)
        if method is None:
            known = ", ".join(self._methods) or "none"
            raise AttributeError(f"the interface has no such method {name} here; it has {known}")
        start = self._start

        def call(*args: Any) -> Any:
            started = start(method, args)
            return started.get() if isinstance(started, Lazy) else started

        call.lazy = lambda *args: start(method, args)
        return call


def contract_interface(declaration: type) -> type[EvmContract]:
    """Class decorator: `declaration(address)` is the Ethereum contract there.

    Its inner classes `View` and `Write` say which methods there are. `TypeError` names a method
    whose types Ethereum does not have.
    """
    names = {
        "__doc__": declaration.__doc__,
        "__module__": declaration.__module__,
        "__slots__": (),
        "views": _methods_of(declaration, "View"),
        "writes": _methods_of(declaration, "Write"),
    }
    return type(declaration.__name__, (EvmContract,), names)


def _methods_of(declaration: type, part: str) -> dict[str, Method]:
    methods = {}
    for name, function in vars(getattr(declaration, part, object)).items():
        if not name.startswith("__") and callable(function):
            try:
                methods[name] = Method(name, function)
            except TypeError as error:
                raise TypeError(f"{declaration.__name__}.{part}.{name}: {error}") from None
    return methods


def _annotation(function: Callable[..., Any], parameter: str) -> Any:
    annotation = function.__annotations__.get(parameter)
    if annotation is None:
        raise TypeError(f"{parameter} needs a type")
    return evaluate(annotation, function) if isinstance(annotation, str) else annotation


def _check_moment(on: str) -> None:
    if on != "finalized":
        raise ValueError("messages to Ethereum contracts are sent when the run is finalized")


__all__ = ("AbiError", "EvmContract", "contract_interface")
