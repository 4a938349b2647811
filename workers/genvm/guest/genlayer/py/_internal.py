"""What the SDK works out for itself (docs/spec/07-python-sdk.md#9-other-contracts)."""

from __future__ import annotations

from .keccak import keccak256
from .types import Address

_DEPLOYED_BY_CONTRACT = b"\x01"


def create2_address(contract: Address, salt_nonce: int, chain_id: int) -> Address:
    """Return the address of what `contract` deploys with this salt. `OverflowError` beyond u256."""
    numbers = salt_nonce.to_bytes(32, "big") + chain_id.to_bytes(32, "big")
    return Address(keccak256(_DEPLOYED_BY_CONTRACT + contract.as_bytes + numbers)[: Address.SIZE])
