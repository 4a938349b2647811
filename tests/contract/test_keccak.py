"""Our Keccak-256 beside an independent one."""

from __future__ import annotations

from Crypto.Hash import keccak
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.protocol.keccak import Keccak256, keccak256


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_it_agrees_with_pycryptodome_however_the_message_is_cut(parts: list[bytes]) -> None:
    expected = keccak.new(digest_bits=256, data=b"".join(parts)).digest()
    streamed = Keccak256()
    for part in parts:
        streamed.update(part)
    assert streamed.digest() == streamed.digest() == keccak256(b"".join(parts)) == expected
    assert streamed.hexdigest() == expected.hex()


def test_every_length_around_the_block_size() -> None:
    for size in range(130, 280):
        message = bytes(range(256))[:size].ljust(size, b"x")
        assert keccak256(message) == keccak.new(digest_bits=256, data=message).digest()
