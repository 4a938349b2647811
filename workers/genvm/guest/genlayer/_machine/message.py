"""The message that this run answers, as the host gave it.

Source: docs/spec/07-python-sdk.md#6-message.
"""

from __future__ import annotations

from _collections import _tuplegetter

from ..py.types import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class MessageType(tuple):
    """`gl.message`: who calls which contract, with what. It is a named tuple."""

    # What `typing.NamedTuple` would make; but each run would wait for the import of `typing`.
    __slots__ = ()
    _fields = ("contract_address", "sender_address", "origin_address", "value", "chain_id")
    _field_defaults: dict[str, Any] = {}  # noqa: RUF012 - as all named tuples have it
    __match_args__ = _fields
    __annotations__ = dict.fromkeys(_fields[:3], Address) | dict.fromkeys(_fields[3:], int)

    contract_address = _tuplegetter(0, "This contract.")
    sender_address = _tuplegetter(1, "Who sent this message: an account or a contract.")
    origin_address = _tuplegetter(2, "Who signed the transaction that all this began with.")
    value = _tuplegetter(3, "How much comes with the message.")
    chain_id = _tuplegetter(4, "The number of the chain.")

    def __new__(
        cls,
        contract_address: Address,
        sender_address: Address,
        origin_address: Address,
        value: int,
        chain_id: int,
    ) -> MessageType:
        fields = (contract_address, sender_address, origin_address, value, chain_id)
        return tuple.__new__(cls, fields)

    @classmethod
    def _make(cls, values: Iterable[Any]) -> MessageType:
        return cls(*values)

    def _replace(self, /, **changes: Any) -> MessageType:
        return type(self)(**self._asdict() | changes)

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{type(self).__name__}({fields})"


class MessageRawType(dict):
    """`gl.message_raw`: the start message, a `dict` with these keys."""

    contract_address: Address
    sender_address: Address
    origin_address: Address
    stack: list[Address]
    """The contracts that called this one, the outermost first, without this one."""
    chain_id: int
    value: int
    is_init: bool
    """Whether this run deploys the contract."""
    datetime: str
    """When the transaction was made: RFC 3339, with `Z`."""
    entry_kind: int
    entry_data: bytes
    entry_stage_data: object


message_raw: dict[str, Any] = {}


def set_message(raw: dict[str, Any]) -> None:
    """Make `raw` the message of this run. It is set once, before the contract is loaded."""
    global message  # noqa: PLW0603 - there is one message in a run
    message_raw.update(raw)
    message = MessageType(*(raw[name] for name in MessageType._fields))
