"""The contract by which a service is shown or tried, as transactions of the default account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address

from .ledger import DEFAULT_SENDER
from .transactions import Transaction

CONTRACT = Path(__file__).with_name("demo_contract.py")


def deployment(*args: Any) -> Transaction:
    """Deploys it with these arguments of its constructor."""
    return _transaction(None, {"args": args}, CONTRACT.read_bytes())


def call(contract: Address, method: str, *args: Any) -> Transaction:
    """Calls a method of the one that lives at an address."""
    return _transaction(contract, {"method": method, "args": args})


def _transaction(
    target: Address | None, call: dict[str, Any], code: bytes | None = None
) -> Transaction:
    return Transaction(
        sender=DEFAULT_SENDER,
        origin=DEFAULT_SENDER,
        target=target,
        calldata=calldata.encode(call),
        code=code,
    )
