"""The words of the `genlayer_sdk` interface: its error codes, and what all calls of a run share."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from protocol.calldata import Address
from protocol.host import HostErrorCode, HostRefusal, StorageType

from .context import CallContext, Outcome
from .deadline import Deadline
from .hosts import Hosts
from .storage import CommittedPages

if TYPE_CHECKING:
    from .modules import Modules
    from .nondet_blocks import NondetBlocks

P = ParamSpec("P")
T = TypeVar("T")


class SdkError(IntEnum):
    """What an operation returns (spec 06, imports)."""

    SUCCESS = 0
    OVERFLOW = 1
    INVAL = 2
    FAULT = 3
    ILSEQ = 4
    IO = 5
    FORBIDDEN = 6
    INBALANCE = 7


class OperationFailed(Exception):
    """The operation was not done; the guest gets the code and goes on."""

    def __init__(self, code: SdkError) -> None:
        super().__init__(code.name)
        self.code = code


class CallEnded(Exception):
    """The guest asked for its own end, with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.code.name)
        self.outcome = outcome


class Run(Protocol):
    """What all calls of one run share."""

    host: Hosts
    modules: Modules
    nondet: NondetBlocks
    deadline: Deadline

    def committed(self, address: Address, storage_type: StorageType) -> CommittedPages:
        """The pages that the host has for a contract."""

    def call(self, context: CallContext) -> Outcome:
        """Run one more guest inside the current one, and give how it ended."""

    def trace(self, message: str) -> None:
        """Put a contract's own message into the log."""

    def microseconds(self) -> int:
        """How long the run has taken so far."""


def ask(question: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Ask the host; its refusal becomes an `OperationFailed`."""
    try:
        return question(*arguments, **named)
    except HostRefusal as refusal:
        forbidden = refusal.code is HostErrorCode.FORBIDDEN
        raise OperationFailed(SdkError.FORBIDDEN if forbidden else SdkError.IO) from None


def need(context: CallContext, permission: str) -> None:
    """Raise `OperationFailed` unless the call has the permission."""
    if permission not in context.permissions:
        raise OperationFailed(SdkError.FORBIDDEN)


def own_balance(run: Run, context: CallContext) -> int:
    """The contract's balance, less what its messages of this run carry away."""
    balance = ask(run.host.get_balance, context.message.contract_address)
    return max(0, balance - context.effects.spent)
