"""Other contracts: calling them, sending them messages, deploying them.

    token = gl.get_contract_at(address)
    token.view().balance_of(owner)              # now, read-only
    token.emit(value=5).deposit("note")         # after this run, when it is finalized

What does not fit goes to the machine as it is, which refuses it: `SystemError('2: inval')`.
Source: docs/spec/07-python-sdk.md#9-other-contracts.
"""

from __future__ import annotations

from .._machine import host
from .._machine.contract import BaseContract, Contract
from .._machine.message import message_raw
from .._machine.wire import Lazy, call_host, lazy_call, sub_vm_result, unpack_result
from ..py.public_abi import StorageType
from ..py.types import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Literal

    ON = Literal["finalized", "accepted"]

__all__ = (
    "BaseContract",
    "Contract",
    "ContractProxy",
    "contract_interface",
    "deploy_contract",
    "get_contract_at",
)

_GenericAlias = type(list[int])


def __getattr__(name: str) -> Any:
    """Make `ON` when it is named: `typing` is slow to import, and few contracts need it here."""
    if name != "ON":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from typing import Literal

    globals()[name] = Literal["finalized", "accepted"]
    return globals()[name]


class ContractProxy(BaseContract):
    """A contract at an address. For type checkers it has two parameters, `View` and `Write`."""

    __slots__ = ("address",)
    __class_getitem__ = classmethod(_GenericAlias)

    def __init__(self, address: Address) -> None:
        self.address = address

    def view(self, *, state: StorageType = StorageType.LATEST_NON_FINAL) -> ErasedMethods:
        """Return its methods, to be called now, without writing; they return what it returns.

        `state` says which of its states is read. A user error of the contract is raised here; a VM
        error ends this run as well.
        """
        address = self.address
        return ErasedMethods(lambda call: _view_call(address, call, state.value), lazy=True)

    def emit(self, *, value: int = 0, on: ON = "finalized") -> ErasedMethods:
        """Return its methods, as messages that are sent when this run is `finalized` or `accepted`.

        They return None.
        """
        address = self.address
        return ErasedMethods(lambda call: _post(address, call, value, on), lazy=False)

    def emit_transfer(self, *, value: int, on: ON = "finalized") -> None:
        """Send it `value`, without calling a method. Raises `ValueError` unless it is above 0."""
        if value <= 0:
            raise ValueError(f"a transfer has a value above 0, got {value}")
        _post(self.address, {}, value, on)

    @property
    def balance(self) -> int:
        """Its balance."""
        return host.get_balance(self.address.as_bytes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address})"


class ErasedMethods:
    """Any attribute is a method of that name. Those of a view have `.lazy`."""

    __slots__ = ("__is_lazy", "__send")  # mangled, as a contract may have methods of any other name

    def __init__(self, send: Callable[[dict[str, Any]], Any], lazy: bool) -> None:
        self.__send = send
        self.__is_lazy = lazy

    def __getattr__(self, name: str) -> Callable[..., Any]:
        send = self.__send

        def start(*args: Any, **kwargs: Any) -> Any:
            return send({"method": name} | _arguments(args, kwargs))

        return lazy_call(start) if self.__is_lazy else start

    def __reduce__(self) -> Any:
        # Else unpickling would ask for `__setstate__`, which is a method like any other here.
        return ErasedMethods, (self.__send, self.__is_lazy)


class GenVMContractDeclaration:
    """What `contract_interface` is applied to: a class with the inner classes `View` and `Write`.

    For type checkers it has these two as parameters.
    """

    __slots__ = ()
    __class_getitem__ = classmethod(_GenericAlias)


def get_contract_at(address: Address) -> ContractProxy:
    """Return the contract at `address`; whether there is one shows when it is called.

    Raises `TypeError` for what is no `Address`.
    """
    if not isinstance(address, Address):
        given = type(address).__name__
        raise TypeError(
            f"get_contract_at takes an Address, got {given}; write Address(…) around it"
        )
    return ContractProxy(address)


def contract_interface(_declaration: type) -> Callable[[Address], ContractProxy]:
    """Class decorator: `declaration(address)` is the contract there, for editors to know its type.

    The class has two inner classes, `View` and `Write`, with the methods' signatures. At run time
    the result is `get_contract_at`.
    """
    return get_contract_at


def deploy_contract(  # noqa: PLR0913 - contracts name them all
    *,
    code: bytes,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    salt_nonce: int = 0,
    value: int = 0,
    on: ON = "finalized",
) -> Address | None:
    """Deploy a contract when this run is `finalized` or `accepted`.

    With a `salt_nonce` other than 0, of which each may be used once, the address is known now and
    returned; else `None` is.
    """
    request = {
        "calldata": _arguments(args, kwargs),
        "code": code,
        "value": value,
        "on": on,
        "salt_nonce": salt_nonce,
    }
    call_host({"DeployContract": request})
    if salt_nonce == 0:
        return None
    from ..py._internal import create2_address

    return create2_address(message_raw["contract_address"], salt_nonce, message_raw["chain_id"])


class ContractAt(ContractProxy):
    """`ContractProxy` under the name that older contracts know, which convert no addresses."""

    __slots__ = ()

    def __init__(self, address: Any) -> None:
        super().__init__(address if isinstance(address, Address) else Address(address))

    def emit(self, *, value: int = 0, on: ON = "finalized", gas: int = 0) -> ErasedMethods:
        """Return its methods, as messages; `gas` means nothing now."""
        del gas
        return super().emit(value=value, on=on)


def _arguments(args: Any, kwargs: Any) -> dict[str, Any]:
    """Return the arguments as they stand in a call, which leaves empty ones out."""
    call: dict[str, Any] = {}
    if args:
        call["args"] = args
    if kwargs:
        call["kwargs"] = kwargs
    return call


def _view_call(address: Address, call: dict[str, Any], state: int) -> Lazy:
    raw = call_host({"CallContract": {"address": address, "calldata": call, "state": state}})
    return Lazy(lambda: unpack_result(sub_vm_result(raw)))


def _post(address: Address, call: dict[str, Any], value: int, on: ON) -> None:
    call_host({"PostMessage": {"address": address, "calldata": call, "value": value, "on": on}})
