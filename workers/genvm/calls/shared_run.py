"""What all calls of one run share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.host.client import HostClient
from genvm_manager.protocol.host.messages import StorageType
from genvm_manager.workers.genvm.engine.deadline import Deadline
from genvm_manager.workers.genvm.engine.endings import Outcome

from .context import CallContext
from .modules import Modules
from .nondet_blocks import NondetBlocks
from .sdk import call_host
from .storage import CommittedPages


class Run(Protocol):
    """The run, as its calls see it."""

    host: HostClient
    modules: Modules
    nondet: NondetBlocks
    deadline: Deadline

    def committed(self, address: Address, storage_type: StorageType) -> CommittedPages:
        """Return the pages that the host has for a contract."""

    def call(self, context: CallContext) -> Outcome:
        """Run one more guest inside the current one, and give how it ended."""

    def trace(self, message: str) -> None:
        """Put a contract's own message into the log."""

    def embed(self, tokens: Sequence[int]) -> bytes:
        """Return the vector of a text, whose word pieces have these numbers.

        Raises `ExecutorFault` when this host lacks the model.
        """

    def microseconds(self) -> int:
        """Return how long the run has taken so far."""


def own_balance(run: Run, context: CallContext) -> int:
    """Return the contract's balance, less the value that its messages of this run send."""
    balance = call_host(run.host.get_balance, context.message.contract_address)
    return max(0, balance - context.effects.spent)
