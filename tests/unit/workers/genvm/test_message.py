"""The message of a run, as a contract is told it."""

from __future__ import annotations

import pytest

from genvm_manager.protocol.calldata import Address
from genvm_manager.workers.genvm.calls.context import decode_message

SOMEBODY = Address(bytes(20))
FIELDS = {
    "contract_address": SOMEBODY,
    "sender_address": SOMEBODY,
    "origin_address": SOMEBODY,
    "chain_id": 1,
}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("2024-11-26T06:42:42.424242Z", "2024-11-26T06:42:42.424242Z"),
        ("2024-11-26T06:42:42Z", "2024-11-26T06:42:42Z"),
        ("2024-11-26T06:42:42+00:00", "2024-11-26T06:42:42Z"),
        ("2024-11-26T01:12:42.5-05:30", "2024-11-26T06:42:42.500000Z"),
        (None, "1970-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_told_in_utc(given: str | None, told: str) -> None:
    assert decode_message(FIELDS | {"datetime": given}).datetime == told
