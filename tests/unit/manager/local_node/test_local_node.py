"""What transactions change on the local node: `genvm_manager.manager.local_node.node`.

The executor here is a script that speaks the host protocol over the node's real socket.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from genvm_manager.manager.local_node.errors import LocalNodeFailed, Refused
from genvm_manager.manager.local_node.host import LedgerHost, serving
from genvm_manager.manager.local_node.ledger import DEFAULT_BALANCE, DEFAULT_SENDER, Ledger
from genvm_manager.manager.local_node.node import MAX_TRANSACTIONS, LocalNode
from genvm_manager.manager.local_node.transactions import (
    CHAIN_ID,
    Ending,
    Transaction,
    address_by_nonce,
)
from genvm_manager.protocol import calldata
from genvm_manager.protocol.addresses import deployed_address
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.host.client import HostClient
from genvm_manager.protocol.host.messages import StorageRead, StorageType
from genvm_manager.protocol.run_result import ResultCode, RunResult, execution_hash

SLOT = b"\x07" * 32
KEY = SLOT + bytes(4)
ALICE = Address(b"\xa1" * 20)

MAJOR = 3

Script = Callable[[Transaction, Address, HostClient], RunResult | None]


def result(
    code: ResultCode = ResultCode.RETURN,
    data: Any = None,
    changes: list[tuple[bytes, bytes]] | None = None,
    emissions: list[dict[str, Any]] | None = None,
) -> RunResult:
    changes, emissions = changes or [], emissions or []
    digest = execution_hash(code, data, changes, emissions)
    return RunResult(code, data, digest, changes, emissions, [], None, [], None)


class ScriptedExecutions:
    """Runs a script as the executor, and remembers what it was asked to run."""

    def __init__(self) -> None:
        self.script: Script = lambda *_: result()
        self.ran: list[tuple[Transaction, Address, str]] = []

    def run(
        self, transaction: Transaction, callee: Address, permissions: str, host: LedgerHost
    ) -> Ending:
        self.ran.append((transaction, callee, permissions))
        with serving(host) as url, socket.socket(socket.AF_UNIX) as connection:
            connection.connect(url.removeprefix("unix://"))
            ended = self.script(transaction, callee, HostClient([connection]))
        reason = None if ended else "the executor was killed"
        return Ending(len(self.ran), MAJOR, ended, reason, "", "", 1, 0.1)


@pytest.fixture
def executions() -> ScriptedExecutions:
    return ScriptedExecutions()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "local-node.db")
    yield ledger
    ledger.close()


@pytest.fixture
def node(ledger: Ledger, executions: ScriptedExecutions) -> LocalNode:
    return LocalNode(ledger, executions)


def deployment(value: int = 0, sender: Address = DEFAULT_SENDER) -> Transaction:
    return Transaction(sender, sender, None, calldata.encode({}), value, b"# code")


def call(target: Address, value: int = 0, sender: Address = DEFAULT_SENDER) -> Transaction:
    return Transaction(sender, sender, target, calldata.encode({"method": "m"}), value)


def transfer(target: Address, value: int) -> Transaction:
    return Transaction(DEFAULT_SENDER, DEFAULT_SENDER, target, calldata.encode({}), value)


def balances(ledger: Ledger, *addresses: Address) -> list[int]:
    with ledger.reading():
        return [ledger.balance(address) for address in addresses]


def stored(ledger: Ledger, address: Address) -> bytes:
    with ledger.reading():
        return ledger.read_storage(address, SLOT, 0, 32)


def post(address: Address, value: int = 0, method: str | None = "m") -> dict[str, Any]:
    encoded = calldata.encode({"method": method} if method else {})
    return {
        "type": "PostMessage",
        "address": address,
        "calldata": encoded,
        "value": value,
        "on": "finalized",
    }


def test_a_deployment_that_returns_is_kept(
    node: LocalNode, ledger: Ledger, executions: ScriptedExecutions
) -> None:
    def script(_: Transaction, callee: Address, host: HostClient) -> RunResult:
        assert host.get_balance(callee) == 5
        assert host.get_balance(DEFAULT_SENDER) == DEFAULT_BALANCE - 5
        return result(changes=[(KEY, b"\x01" * 32)])

    executions.script = script
    (executed,) = node.submit(deployment(value=5)).transactions
    assert executed.callee == address_by_nonce(DEFAULT_SENDER, 0)
    assert stored(ledger, executed.callee) == b"\x01" * 32
    assert balances(ledger, executed.callee, DEFAULT_SENDER) == [5, DEFAULT_BALANCE - 5]
    executions.script = lambda *_: result()
    assert node.submit(deployment()).transactions[0].callee == address_by_nonce(DEFAULT_SENDER, 1)


def test_a_contract_keeps_the_major_it_was_deployed_with(node: LocalNode, ledger: Ledger) -> None:
    (executed,) = node.submit(deployment()).transactions
    with ledger.reading():
        assert LedgerHost(ledger, executed.callee, 0).major == MAJOR


@pytest.mark.parametrize(
    "ended",
    [
        result(ResultCode.USER_ERROR, "no", [(KEY, b"\x01" * 32)], [post(ALICE, 1)]),
        result(ResultCode.VM_ERROR, "exit_code 1"),
        result(ResultCode.INTERNAL_ERROR, "oops"),
        None,
    ],
)
def test_any_other_ending_changes_nothing(
    node: LocalNode, ledger: Ledger, executions: ScriptedExecutions, ended: RunResult | None
) -> None:
    executions.script = lambda *_: ended
    (executed,) = node.submit(deployment(value=5)).transactions
    assert executed.sent == []
    assert balances(ledger, executed.callee, DEFAULT_SENDER) == [0, DEFAULT_BALANCE]
    assert stored(ledger, executed.callee) == bytes(32)
    with ledger.reading():
        assert not ledger.is_contract(executed.callee)
        assert ledger.nonce(DEFAULT_SENDER) == 0


def test_messages_run_in_order_as_their_contracts(
    node: LocalNode, ledger: Ledger, executions: ScriptedExecutions
) -> None:
    first = node.submit(deployment(value=10)).transactions[0].callee
    second = node.submit(deployment()).transactions[0].callee
    executions.ran.clear()

    def script(transaction: Transaction, callee: Address, host: HostClient) -> RunResult:
        if callee == second:
            return result(ResultCode.USER_ERROR, "no") if transaction.value == 2 else result()
        emissions = [post(second, 3), post(second, 2), post(ALICE, 1, method=None)]
        return result(emissions=emissions)

    executions.script = script
    receipt = node.submit(call(first))
    ran = [(t.sender, t.origin, callee, t.value) for t, callee, _ in executions.ran]
    assert ran == [
        (DEFAULT_SENDER, DEFAULT_SENDER, first, 0),
        (first, DEFAULT_SENDER, second, 3),
        (first, DEFAULT_SENDER, second, 2),
    ]
    assert [executed.ending is None for executed in receipt.transactions] == [
        False,
        False,
        False,
        True,
    ]
    assert balances(ledger, first, second, ALICE) == [10 - 3 - 1, 3, 1]


def test_value_of_a_message_is_out_of_the_contracts_hands(
    node: LocalNode, ledger: Ledger, executions: ScriptedExecutions
) -> None:
    first = node.submit(deployment(value=10)).transactions[0].callee
    seen = []

    def script(transaction: Transaction, callee: Address, host: HostClient) -> RunResult:
        seen.append(host.get_balance(first))
        return result(emissions=[post(first, 4)] if transaction.sender != first else [])

    executions.script = script
    node.submit(call(first))
    assert seen == [10, 10]
    assert balances(ledger, first) == [10]


def test_a_message_that_cannot_be_delivered_gives_its_value_back(
    node: LocalNode, ledger: Ledger, executions: ScriptedExecutions
) -> None:
    executions.script = lambda *_: result(emissions=[post(ALICE, 4)])
    receipt = node.submit(deployment(value=10))
    assert "no contract at" in (receipt.transactions[1].problem or "")
    assert balances(ledger, ALICE, receipt.transactions[0].callee) == [0, 10]


def test_contracts_deploy_contracts(
    node: LocalNode, ledger: Ledger, executions: ScriptedExecutions
) -> None:
    def deploy(salt: int) -> dict[str, Any]:
        return {
            "type": "DeployContract",
            "calldata": b"\x06",
            "code": b"# child",
            "value": 1,
            "on": "accepted",
            "salt_nonce": salt,
        }

    def script(transaction: Transaction, callee: Address, host: HostClient) -> RunResult:
        children = [deploy(7), deploy(0), deploy(7)]
        return result(emissions=children if transaction.code == b"# code" else [])

    executions.script = script
    parent, salted, plain, again = node.submit(deployment(value=5)).transactions
    assert salted.callee == deployed_address(parent.callee, 7, CHAIN_ID)
    assert plain.callee == address_by_nonce(parent.callee, 0)
    assert again.callee == salted.callee
    assert "is in use" in (again.problem or "")
    assert balances(ledger, parent.callee, salted.callee, plain.callee) == [3, 1, 1]


def test_messages_without_end_are_cut_off(
    node: LocalNode, ledger: Ledger, executions: ScriptedExecutions
) -> None:
    executions.script = lambda _, callee, __: result(emissions=[post(callee, 1), post(callee, 1)])
    receipt = node.submit(deployment(value=1000))
    assert len(receipt.transactions) == MAX_TRANSACTIONS
    assert len(receipt.undelivered) == MAX_TRANSACTIONS + 1
    assert balances(ledger, receipt.transactions[0].callee) == [1000]


def test_other_chains_get_value_and_events_are_left_alone(
    node: LocalNode, ledger: Ledger, executions: ScriptedExecutions
) -> None:
    executions.script = lambda *_: result(
        emissions=[
            {"type": "EthSend", "address": ALICE, "calldata": b"\x01", "value": 2},
            {"type": "EmitEvent", "topics": [bytes(32)], "blob": {"a": ALICE}},
        ]
    )
    receipt = node.submit(deployment(value=3))
    assert len(receipt.transactions) == 1
    assert balances(ledger, ALICE, receipt.transactions[0].callee) == [2, 1]


@pytest.mark.parametrize(
    ("emission", "complaint"),
    [
        ({"type": "Nonsense"}, "emissions[0].type: "),
        ({**post(ALICE), "value": "much"}, "emissions[0].value: expected int, got str"),
        (post(ALICE, 6), "PostMessage.value: "),
    ],
)
def test_an_executor_that_makes_things_up_changes_nothing(
    node: LocalNode,
    ledger: Ledger,
    executions: ScriptedExecutions,
    emission: dict[str, Any],
    complaint: str,
) -> None:
    executions.script = lambda *_: result(emissions=[emission])
    with pytest.raises(LocalNodeFailed) as raised:
        node.submit(deployment(value=5))
    assert complaint in str(raised.value)
    assert balances(ledger, DEFAULT_SENDER) == [DEFAULT_BALANCE]


def test_what_cannot_be_made_is_refused(node: LocalNode, ledger: Ledger) -> None:
    with pytest.raises(Refused, match="no contract at 0x"):
        node.submit(call(ALICE, value=1))
    with pytest.raises(Refused, match="no contract at 0x"):
        node.view(call(ALICE))
    with pytest.raises(Refused, match=r"value: 0x.* has 0, not 1"):
        node.submit(deployment(value=1, sender=ALICE))
    assert balances(ledger, ALICE, DEFAULT_SENDER) == [0, DEFAULT_BALANCE]


def test_an_account_takes_a_transfer_without_any_run(
    node: LocalNode, ledger: Ledger, executions: ScriptedExecutions
) -> None:
    (executed,) = node.submit(transfer(ALICE, 9)).transactions
    assert (executed.ending, executions.ran) == (None, [])
    assert balances(ledger, ALICE) == [9]


def test_a_view_reads_and_keeps_nothing(
    node: LocalNode, ledger: Ledger, executions: ScriptedExecutions
) -> None:
    executions.script = lambda *_: result(changes=[(KEY, b"\x01" * 32)])
    contract = node.submit(deployment()).transactions[0].callee

    def script(_: Transaction, callee: Address, host: HostClient) -> RunResult:
        read = StorageRead(StorageType.LATEST_FINAL, callee, SLOT, 0, 2)
        return result(data=host.storage_read(read), changes=[(KEY, b"\x02" * 32)])

    executions.script = script
    executed = node.view(call(contract))
    assert executed.ending and executed.ending.result
    assert executed.ending.result.data == b"\x01\x01"
    assert executions.ran[-1][2] == "rc"
    assert stored(ledger, contract) == b"\x01" * 32


def test_an_interrupted_command_changes_nothing(
    node: LocalNode, ledger: Ledger, executions: ScriptedExecutions
) -> None:
    first = node.submit(deployment(value=10)).transactions[0].callee

    def script(transaction: Transaction, callee: Address, host: HostClient) -> RunResult:
        if transaction.sender == first:
            raise KeyboardInterrupt
        return result(changes=[(KEY, b"\x01" * 32)], emissions=[post(first, 1)])

    executions.script = script
    with pytest.raises(KeyboardInterrupt):
        node.submit(call(first, value=1))
    assert stored(ledger, first) == bytes(32)
    assert balances(ledger, first) == [10]
