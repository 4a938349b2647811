"""Other contracts: calling them, sending them messages, deploying them.

token = gl.get_contract_at(address)
token.view().balance_of(owner)              # now, read-only
token.emit(value=5).deposit("note")         # after this run, when it is finalized
"""

from __future__ import annotations

from .._machine import host
from .._machine.message import message_raw
from .._machine.wire import Lazy, call_host, sub_vm_result, unpack_result
from ..py.calldata import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

LATEST_FINAL = 1
LATEST_NON_FINAL = 2

_MOMENTS = ("finalized", "accepted")


class ContractProxy:
    """A contract at an address."""

    __slots__ = ("address",)

    def __init__(self, address: Address) -> None:
        self.address = address if isinstance(address, Address) else Address(address)

    def view(self, *, state: int = LATEST_NON_FINAL) -> Methods:
        """Return its methods, to be called now, without writing; they return what it returns.

        `state` says which of its states is read, 2 the latest, 1 the latest that is final.
        A user error of the contract is raised here.
        """
        return Methods(lambda call: _view_call(self.address, call, state), lazy=True)

    def emit(self, *, value: int = 0, on: str = "finalized", gas: int | None = None) -> Methods:
        """Return its methods, as messages that are sent when this run is `finalized` or `accepted`.

        `gas` is of older contracts, and means nothing now.
        """
        del gas
        return Methods(lambda call: _post(self.address, call, value, on), lazy=False)

    def emit_transfer(self, value: int, *, on: str = "finalized") -> None:
        """Send it `value`, without calling a method."""
        _post(self.address, {}, value, on)

    @property
    def balance(self) -> int:
        """Its balance."""
        return host.get_balance(self.address.as_bytes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address})"


class Methods:
    """Any attribute is a method of that name."""

    __slots__ = ("_lazy", "_send")

    def __init__(self, send: Callable[[dict[str, Any]], Any], lazy: bool) -> None:
        self._send = send
        self._lazy = lazy

    def __getattr__(self, name: str) -> Callable[..., Any]:
        send = self._send

        def start(*args: Any, **kwargs: Any) -> Any:
            return send({"method": name} | call_arguments(args, kwargs))

        if not self._lazy:
            return start

        def call(*args: Any, **kwargs: Any) -> Any:
            return start(*args, **kwargs).get()

        call.lazy = start
        return call


ContractAt = ContractProxy


def get_contract_at(address: Address) -> ContractProxy:
    """Return the contract at `address`; whether there is one shows when it is called."""
    return ContractProxy(address)


def contract_interface(declaration: type) -> type[ContractProxy]:
    """Class decorator: `declaration(address)` is the contract there, for editors to know its type.

    The class has two inner classes, `View` and `Write`, with the methods' signatures.
    """
    names = {"__doc__": declaration.__doc__, "__module__": declaration.__module__, "__slots__": ()}
    return type(declaration.__name__, (ContractProxy,), names)


def deploy_contract(  # noqa: PLR0913 - contracts name them all
    *,
    code: bytes,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    salt_nonce: int = 0,
    value: int = 0,
    on: str = "finalized",
) -> Address | None:
    """Deploy a contract when this run is `finalized` or `accepted`.

    With a `salt_nonce` other than 0, of which each may be used once, the address is known now and
    returned; else `None` is.
    """
    request = {
        "calldata": call_arguments(tuple(args), kwargs or {}),
        "code": bytes(code),
        "value": value,
        "on": _moment(on),
        "salt_nonce": salt_nonce,
    }
    call_host({"DeployContract": request})
    if salt_nonce == 0:
        return None
    from ..py.addresses import deployed_address

    return deployed_address(message_raw["contract_address"], salt_nonce, message_raw["chain_id"])


def call_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments as they stand in a call, which leaves empty ones out."""
    call: dict[str, Any] = {}
    if args:
        call["args"] = list(args)
    if kwargs:
        call["kwargs"] = dict(kwargs)
    return call


def _view_call(address: Address, call: dict[str, Any], state: int) -> Lazy:
    raw = call_host({"CallContract": {"address": address, "calldata": call, "state": state}})
    return Lazy(lambda: unpack_result(sub_vm_result(raw)))


def _post(address: Address, call: dict[str, Any], value: int, on: str) -> None:
    call_host(
        {"PostMessage": {"address": address, "calldata": call, "value": value, "on": _moment(on)}}
    )


def _moment(on: str) -> str:
    if on not in _MOMENTS:
        raise ValueError(f"on is one of {', '.join(_MOMENTS)}, got {on!r}")
    return on
