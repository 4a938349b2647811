"""The message that this run answers, as the host gave it.

Source: docs/spec/06-contracts.md#the-machine.
"""

from __future__ import annotations

from ..py.calldata import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

message_raw: dict[str, Any] = {}
"""The start message: everything in `message`, and `datetime` (ISO 8601), `is_init`, `stack` (the
addresses of the contracts that called this one), `entry_kind`, `entry_data`, `entry_stage_data`."""


class MessageType:
    """`gl.message`: who calls which contract, with what."""

    contract_address: Address
    """This contract."""
    sender_address: Address
    """Who sent this message: an account or a contract."""
    origin_address: Address
    """Who signed the transaction that all this began with."""
    value: int
    """How much comes with the message."""
    chain_id: int

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"Message({fields})"


message = MessageType()


def set_message(raw: dict[str, Any]) -> None:
    """Make `raw` the message of this run."""
    message_raw.update(raw)
    for name in MessageType.__annotations__:
        setattr(message, name, raw[name])
