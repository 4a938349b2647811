"""The error codes of the `genlayer_sdk` interface, and what raises them."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import ParamSpec, TypeVar

from genvm_manager.protocol.host.messages import HostErrorCode, HostRefusal

from .context import CallContext

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


def call_host(question: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Return what the host answers to `question`. Raises `OperationFailed` when it refuses."""
    try:
        return question(*arguments, **named)
    except HostRefusal as refusal:
        forbidden = refusal.code is HostErrorCode.FORBIDDEN
        raise OperationFailed(SdkError.FORBIDDEN if forbidden else SdkError.IO) from None


def require_permission(context: CallContext, permission: str) -> None:
    """Raise `OperationFailed` unless the call has the permission."""
    if permission not in context.permissions:
        raise OperationFailed(SdkError.FORBIDDEN)
