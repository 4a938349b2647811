"""The local node: runs transactions and applies their changes.

A contract's messages run after it, in order, each as a transaction of its own. The value is taken
from the sender when the transaction is made and given to the callee when the call returns; with any
other ending it is returned to the sender. Events and messages to other chains are only shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from genvm_manager.protocol.addresses import deployed_address
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.permissions import CALL, DEFAULT_PERMISSIONS, READ

from .errors import LocalNodeFailed, Refused
from .host import LedgerHost
from .ledger import InsufficientBalance, Ledger
from .transactions import (
    CHAIN_ID,
    DeployContract,
    Emission,
    EmitEvent,
    Ending,
    EthSend,
    ExecutedTransaction,
    PostMessage,
    Transaction,
    address_by_nonce,
    emissions,
)

MAX_TRANSACTIONS = 100
"""How many transactions one command may run, including its own."""

VIEW_PERMISSIONS = READ + CALL
"""A view may read, and call other contracts, which may then only read as well."""


class Executions(Protocol):
    """Something that runs one transaction in a GenVM, with `host` as its node."""

    def run(
        self, transaction: Transaction, callee: Address, permissions: str, host: LedgerHost
    ) -> Ending:
        """Run a transaction and return its end."""


@dataclass(frozen=True)
class Receipt:
    """All transactions of a command, its own first.

    `undelivered`: messages over the limit of `MAX_TRANSACTIONS`; their value was returned.
    """

    transactions: list[ExecutedTransaction]
    undelivered: list[Transaction]


class LocalNode:
    """Runs transactions against a ledger, one command at a time."""

    def __init__(
        self, ledger: Ledger, executions: Executions, on_wait: Callable[[], None] = lambda: None
    ) -> None:
        """Use a ledger; `on_wait` is called when another command is writing to it."""
        self._ledger = ledger
        self._executions = executions
        self._on_wait = on_wait

    def submit(self, transaction: Transaction) -> Receipt:
        """Run a transaction and the messages that follow from it, and keep their changes.

        Raises `Refused` if it cannot be made, `LocalNodeFailed`, and what `Executions` raises;
        after any of these nothing has changed.
        """
        with self._ledger.writing(on_wait=self._on_wait):
            try:
                self._ledger.debit(transaction.sender, transaction.value)
            except InsufficientBalance as error:
                raise Refused(f"value: {error}") from None
            return self._deliver_all(transaction)

    def view(self, transaction: Transaction) -> ExecutedTransaction:
        """Call a contract with the permission to read only.

        Raises `Refused` and what `Executions` raises.
        """
        with self._ledger.reading():
            callee = self._callee(transaction)
            if not self._ledger.is_contract(callee):
                raise Refused(_no_contract(callee))
            return self._run(transaction, callee, VIEW_PERMISSIONS)

    def _deliver_all(self, first: Transaction) -> Receipt:
        transactions = [self._deliver(first)]
        if problem := transactions[0].problem:
            raise Refused(problem)
        waiting = deque(transactions[0].sent)
        while waiting and len(transactions) < MAX_TRANSACTIONS:
            executed = self._deliver(waiting.popleft())
            transactions.append(executed)
            waiting += executed.sent
        for undelivered in waiting:
            self._give_back(undelivered)
        return Receipt(transactions, list(waiting))

    def _deliver(self, transaction: Transaction) -> ExecutedTransaction:
        """Run one transaction, whose value was already taken, and apply or undo it."""
        callee = self._callee(transaction)
        is_contract = self._ledger.is_contract(callee)
        problem = None
        if transaction.target is None and is_contract:
            problem = f"address {callee} is in use: its deployer has used the salt nonce before"
        elif transaction.target is not None and not is_contract and transaction.names_method:
            problem = _no_contract(callee)
        if problem:
            self._give_back(transaction)
            return ExecutedTransaction(transaction, callee, problem=problem)
        if transaction.target is not None and not is_contract:
            self._ledger.credit(callee, transaction.value)
            return ExecutedTransaction(transaction, callee)
        executed = self._run(transaction, callee, DEFAULT_PERMISSIONS)
        return self._settle(executed)

    def _run(
        self, transaction: Transaction, callee: Address, permissions: str
    ) -> ExecutedTransaction:
        host = LedgerHost(self._ledger, callee, transaction.value)
        ending = self._executions.run(transaction, callee, permissions, host)
        file_name = transaction.file_name or self._ledger.file_name(callee)
        return ExecutedTransaction(transaction, callee, ending.under_name(file_name))

    def _settle(self, executed: ExecutedTransaction) -> ExecutedTransaction:
        """Apply all changes of a return; return the value after any other ending."""
        transaction, callee, ending = executed.transaction, executed.callee, executed.ending
        if ending is None or ending.result is None or not ending.is_return:
            self._give_back(transaction)
            return executed
        self._ledger.credit(callee, transaction.value)
        if transaction.target is None:
            self._ledger.add_contract(callee, ending.major, transaction.file_name)
            if not transaction.salt_nonce:
                self._ledger.raise_nonce(transaction.sender)
        self._ledger.write_pages(callee, ending.result.storage_changes)
        sent = [
            follow_up
            for emission in emissions(ending.result)
            if (follow_up := self._send(emission, callee, transaction.origin))
        ]
        return replace(executed, sent=sent)

    def _send(self, emission: Emission, sender: Address, origin: Address) -> Transaction | None:
        """Take an emission's value from its contract; return its transaction, if it has one."""
        if isinstance(emission, EmitEvent):
            return None
        try:
            self._ledger.debit(sender, emission.value)
        except InsufficientBalance as error:
            raise LocalNodeFailed(f"{type(emission).__name__}.value: {error}") from None
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
    return f"there is no contract at {address}; deploy one by genvm-manager run"
