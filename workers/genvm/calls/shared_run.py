"""What all calls of one run share."""

from __future__ import annotations

from typing import Protocol

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.host import StorageType
from genvm_manager.workers.genvm.engine.deadline import Deadline

from .context import CallContext, Outcome
from .hosts import Hosts
from .modules import Modules
from .nondet_blocks import NondetBlocks
from .sdk import ask
from .storage import CommittedPages


class Run(Protocol):
    """The run, as its calls see it."""

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


def own_balance(run: Run, context: CallContext) -> int:
    """The contract's balance, less what its messages of this run carry away."""
    balance = ask(run.host.get_balance, context.message.contract_address)
    return max(0, balance - context.effects.spent)
