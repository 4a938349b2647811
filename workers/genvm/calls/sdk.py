"""The words of the `genlayer_sdk` interface: its error codes, and how a call ends."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import ParamSpec, TypeVar

from genvm_manager.protocol.host import HostErrorCode, HostRefusal

from .context import CallContext, Outcome

P = ParamSpec("P")
T = TypeVar("T")


class SdkError(IntEnum):
    """What an operation returns (docs/spec/06-contracts.md#imports)."""

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
