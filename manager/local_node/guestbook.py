"""The example contract of `demo` and `doctor`, as transactions of the default account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address

from .ledger import DEFAULT_SENDER
from .transactions import Transaction

CONTRACT = Path(__file__).with_name("demo_contract.py")


def deployment(*args: Any) -> Transaction:
    """Return the deployment with these arguments of the constructor."""
    return _transaction(None, {"args": args}, CONTRACT.read_bytes())


def call(contract: Address, method: str, *args: Any) -> Transaction:
    """Return a call of a method of the contract at an address."""
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
