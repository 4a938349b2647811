"""The address of a contract that a contract deploys (GenLayer's rule for `salt_nonce`)."""

import pytest
from Crypto.Hash import keccak

from genvm_manager.protocol.addresses import deployed_address
from genvm_manager.protocol.calldata import Address

DEPLOYER = Address("0x5b38da6a701c568545dcfcb03fcb875f56beddc4")


def test_it_is_the_head_of_the_hash_of_marker_deployer_nonce_and_chain() -> None:
    preimage = b"\x01" + DEPLOYER.as_bytes + bytes(31) + b"\x07" + bytes(30) + b"\xf2\x2f"
    expected = keccak.new(digest_bits=256, data=preimage).digest()[:20]
    assert deployed_address(DEPLOYER, 7, 0xF22F).as_bytes == expected


def test_every_part_counts() -> None:
    other = Address(bytes(20))
    made = {deployed_address(a, n, c) for a in (DEPLOYER, other) for n in (1, 2) for c in (0, 1)}
    assert len(made) == 8


@pytest.mark.parametrize(
    ("nonce", "chain"), [(0, 1), (-1, 1), (1 << 256, 1), (1, -1), (1, 1 << 256)]
)
def test_numbers_out_of_range_are_named(nonce: int, chain: int) -> None:
    with pytest.raises(ValueError, match=r"salt_nonce|chain_id"):
        deployed_address(DEPLOYER, nonce, chain)
