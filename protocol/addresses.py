"""Addresses that can be known before the contract behind them exists.

The guest answers `gl.deploy_contract(salt_nonce=…)` with such an address at once, by a
`create2_address` of its own, and the node that carries the deployment out must arrive at the same.
"""

from __future__ import annotations

from .calldata import Address
from .keccak import keccak256

_DEPLOYED_BY_CONTRACT = b"\x01"


def deployed_address(deployer: Address, salt_nonce: int, chain_id: int) -> Address:
    """Return the address of the contract that `deployer` deploys with a non-zero `salt_nonce`.

    GenLayer's rule: the first 20 bytes of the Keccak-256 of a byte 1, the deployer's 20 bytes, and
    the nonce and the chain id as 32 bytes each, big-endian. The code plays no part, so one deployer
    may use a nonce once. Raises `ValueError` for a nonce outside 1 to 2^256-1 (0 means no salt)
    and for a chain id that is no u256.
    """
    if not 0 < salt_nonce < 1 << 256:
        raise ValueError(f"salt_nonce is 1 to 2^256-1, got {salt_nonce}")
    if not 0 <= chain_id < 1 << 256:
        raise ValueError(f"chain_id is 0 to 2^256-1, got {chain_id}")
    preimage = (
        _DEPLOYED_BY_CONTRACT
        + deployer.as_bytes
        + salt_nonce.to_bytes(32, "big")
        + chain_id.to_bytes(32, "big")
    )
    return Address(keccak256(preimage)[: Address.SIZE])
