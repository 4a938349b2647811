"""Contracts that nobody here wrote, deployed and called through HTTP (genlayer-test on PyPI)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genvm_manager.manager.cli.node_session import open_node
from genvm_manager.manager.launcher.service import Service
from genvm_manager.manager.local_node.ledger import DEFAULT_SENDER
from genvm_manager.manager.local_node.node import LocalNode
from genvm_manager.manager.local_node.transactions import ExecutedTransaction, Transaction
from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.run_result import ResultCode

ALICE = Address(b"\xa1" * 20)
BOB = Address(b"\xb0" * 20)


class Chain:
    """A fresh local node, with the published contracts at hand."""

    def __init__(self, node: LocalNode, contracts: Path) -> None:
        self._node = node
        self._contracts = contracts

    def deploy(self, name: str, *args: Any) -> Address:
        code = (self._contracts / f"{name}.py").read_bytes()
        call = calldata.encode({"args": args})
        deployment = Transaction(DEFAULT_SENDER, DEFAULT_SENDER, None, call, code=code)
        executed = self._node.submit(deployment).transactions[0]
        assert returned(executed) is None
        return executed.callee

    def write(
        self, target: Address, method: str, *args: Any, sender: Address = DEFAULT_SENDER
    ) -> list[Any]:
        """What the call and each message that followed from it returned."""
        call = calldata.encode({"method": method, "args": args})
        receipt = self._node.submit(Transaction(sender, sender, target, call))
        return [returned(executed) for executed in receipt.transactions]

    def view(self, target: Address, method: str, *args: Any) -> Any:
        return returned(self.try_view(target, method, *args))

    def try_view(self, target: Address, method: str, *args: Any) -> ExecutedTransaction:
        call = calldata.encode({"method": method, "args": args})
        return self._node.view(Transaction(DEFAULT_SENDER, DEFAULT_SENDER, target, call))


def returned(executed: ExecutedTransaction) -> Any:
    assert executed.ending is not None, executed.problem
    result = executed.ending.result
    assert result is not None, executed.ending.reason
    assert result.code is ResultCode.RETURN, (result.data, executed.ending.stderr)
    return result.data


@pytest.fixture
def chain(tmp_path: Path, service: Service, published_contracts: Path) -> Iterator[Chain]:
    with open_node(tmp_path, service.address, "30s") as node:
        yield Chain(node, published_contracts)


def test_storage(chain: Chain) -> None:
    contract = chain.deploy("storage", "initial")
    assert chain.view(contract, "get_storage") == "initial"
    assert chain.write(contract, "update_storage", "changed 🙂") == [None]
    assert chain.view(contract, "get_storage") == "changed 🙂"


def test_user_storage(chain: Chain) -> None:
    contract = chain.deploy("user_storage")
    assert chain.view(contract, "get_complete_storage") == {}
    chain.write(contract, "update_storage", "of alice", sender=ALICE)
    chain.write(contract, "update_storage", "of bob", sender=BOB)
    chain.write(contract, "update_storage", "of alice, later", sender=ALICE)
    assert chain.view(contract, "get_account_storage", str(ALICE)) == "of alice, later"
    complete = chain.view(contract, "get_complete_storage")
    assert complete == {str(ALICE): "of alice, later", str(BOB): "of bob"}
    absent = chain.try_view(contract, "get_account_storage", str(DEFAULT_SENDER))
    assert absent.ending is not None
    assert absent.ending.code is not ResultCode.RETURN
    assert "KeyError" in absent.ending.stderr


def test_multi_tenant_storage(chain: Chain) -> None:
    storages = [str(chain.deploy("storage", text)) for text in ("first", "second")]
    tenants = chain.deploy("multi_tenant_storage", storages)
    assert chain.view(tenants, "get_available_contracts") == storages
    # The update goes on as a message to the storage that the tenant is given, the last one.
    assert chain.write(tenants, "update_storage", "of alice", sender=ALICE) == [None, None]
    assert chain.view(tenants, "get_available_contracts") == storages[:1]
    assert chain.view(Address(storages[1]), "get_storage") == "of alice"
    assert chain.view(tenants, "get_all_storages") == {
        storages[0]: "first",
        storages[1]: "of alice",
    }


def test_read_erc20(chain: Chain) -> None:
    contract = chain.deploy("read_erc20", str(ALICE))
    # A view of a token that does not exist fails, in the contract and not in the machine.
    executed = chain.try_view(contract, "get_balance_of", str(BOB))
    assert executed.ending is not None
    assert executed.ending.code in (ResultCode.USER_ERROR, ResultCode.VM_ERROR)


def test_multi_read_erc20(chain: Chain) -> None:
    contract = chain.deploy("multi_read_erc20")
    assert chain.view(contract, "get_balances") == {}
    chain.write(contract, "update_token_balances", str(ALICE), [])
    assert chain.view(contract, "get_balances") == {}
