"""The local node: runs transactions and applies what they change.

A contract's messages run after it, in order, each as a transaction of its own. Value is taken from
its sender when the transaction is made and given to the callee when it returns; any other ending
gives it back. Events and messages to other chains are only shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from genvm_manager.protocol.addresses import deployed_address
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.permissions import CALL, DEFAULT_PERMISSIONS, READ

from .host import LedgerHost
from .ledger import InsufficientBalance, Ledger
from .transactions import (
    CHAIN_ID,
    BadEmission,
    DeployContract,
    Emission,
    EmitEvent,
    Ending,
    EthSend,
    Outcome,
    PostMessage,
    Transaction,
    address_by_nonce,
    emissions,
)

MAX_TRANSACTIONS = 100
"""How many transactions one command may cause, its own included."""

VIEW_PERMISSIONS = READ + CALL
"""A view reads, and calls other contracts, which then only read as well."""


class Refused(Exception):
    """The transaction cannot be made as it stands; the message says why and what to do."""


class Executions(Protocol):
    """Runs one transaction in a GenVM, with `host` as its node."""

    def run(
        self, transaction: Transaction, callee: Address, permissions: str, host: LedgerHost
    ) -> Ending: ...


@dataclass(frozen=True)
class Receipt:
    """All that a command caused, its own transaction first.

    `undelivered`: messages over the limit of `MAX_TRANSACTIONS`; their value was given back.
    """

    outcomes: list[Outcome]
    undelivered: list[Transaction]


class LocalNode:
    """Runs transactions against a ledger, one command at a time."""

    def __init__(
        self, ledger: Ledger, executions: Executions, on_wait: Callable[[], None] = lambda: None
    ) -> None:
        """`on_wait` is called when another command is using the ledger."""
        self._ledger = ledger
        self._executions = executions
        self._on_wait = on_wait

    def submit(self, transaction: Transaction) -> Receipt:
        """Run a transaction and the messages that follow from it, and keep what they change.

        Raises `Refused` when it cannot be made, `LedgerBusy`, and what `Executions` raises; after
        any of these nothing has changed.
        """
        with self._ledger.writing(on_wait=self._on_wait):
            try:
                self._ledger.debit(transaction.sender, transaction.value)
            except InsufficientBalance as error:
                raise Refused(f"value: {error}") from None
            return self._deliver_all(transaction)

    def view(self, transaction: Transaction) -> Outcome:
        """Call a contract that may only read. Raises `Refused` and what `Executions` raises."""
        with self._ledger.reading():
            callee = self._callee(transaction)
            if not self._ledger.is_contract(callee):
                raise Refused(_no_contract(callee))
            return self._run(transaction, callee, VIEW_PERMISSIONS)

    def _deliver_all(self, first: Transaction) -> Receipt:
        outcomes = [self._deliver(first)]
        if problem := outcomes[0].problem:
            raise Refused(problem)
        waiting = deque(outcomes[0].sent)
        while waiting and len(outcomes) < MAX_TRANSACTIONS:
            outcome = self._deliver(waiting.popleft())
            outcomes.append(outcome)
            waiting += outcome.sent
        for undelivered in waiting:
            self._give_back(undelivered)
        return Receipt(outcomes, list(waiting))

    def _deliver(self, transaction: Transaction) -> Outcome:
        """Run one transaction whose value was taken already, and apply or undo it."""
        callee = self._callee(transaction)
        is_contract = self._ledger.is_contract(callee)
        problem = None
        if transaction.target is None and is_contract:
            problem = f"address {callee} is taken: its deployer has used the salt nonce before"
        elif transaction.target is not None and not is_contract and transaction.names_method:
            problem = _no_contract(callee)
        if problem:
            self._give_back(transaction)
            return Outcome(transaction, callee, problem=problem)
        if transaction.target is not None and not is_contract:
            self._ledger.credit(callee, transaction.value)
            return Outcome(transaction, callee)
        outcome = self._run(transaction, callee, DEFAULT_PERMISSIONS)
        return self._settle(outcome)

    def _run(self, transaction: Transaction, callee: Address, permissions: str) -> Outcome:
        host = LedgerHost(self._ledger, callee, transaction.value)
        ending = self._executions.run(transaction, callee, permissions, host)
        return Outcome(transaction, callee, ending)

    def _settle(self, outcome: Outcome) -> Outcome:
        """Apply a return in full; give the value back after any other ending."""
        transaction, callee, ending = outcome.transaction, outcome.callee, outcome.ending
        if ending is None or ending.result is None or not ending.is_return:
            self._give_back(transaction)
            return outcome
        self._ledger.credit(callee, transaction.value)
        if transaction.target is None:
            self._ledger.add_contract(callee, ending.major)
            if not transaction.salt_nonce:
                self._ledger.raise_nonce(transaction.sender)
        self._ledger.write_pages(callee, ending.result.storage_changes)
        sent = [
            follow_up
            for emission in emissions(ending.result)
            if (follow_up := self._send(emission, callee, transaction.origin))
        ]
        return replace(outcome, sent=sent)

    def _send(self, emission: Emission, sender: Address, origin: Address) -> Transaction | None:
        """Take an emission's value from its contract; give the transaction that it becomes."""
        if isinstance(emission, EmitEvent):
            return None
        try:
            self._ledger.debit(sender, emission.value)
        except InsufficientBalance as error:
            raise BadEmission(f"{type(emission).__name__}.value: {error}") from None
        match emission:
            case PostMessage(address, call, value):
                return Transaction(sender, origin, address, call, value)
            case DeployContract(call, code, value, salt_nonce=salt):
                return Transaction(sender, origin, None, call, value, code, salt)
            case EthSend(address, _, value):
                self._ledger.credit(address, value)
        return None

    def _give_back(self, transaction: Transaction) -> None:
        self._ledger.credit(transaction.sender, transaction.value)

    def _callee(self, transaction: Transaction) -> Address:
        if transaction.target is not None:
            return transaction.target
        if transaction.salt_nonce:
            return deployed_address(transaction.sender, transaction.salt_nonce, CHAIN_ID)
        return address_by_nonce(transaction.sender, self._ledger.nonce(transaction.sender))


def _no_contract(address: Address) -> str:
    return f"no contract at {address} here; `genvm-manager run` deploys one"
