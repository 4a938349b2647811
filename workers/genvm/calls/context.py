"""What one contract call knows of itself, and what it has done so far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, NamedTuple

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.errors import MalformedMessage
from genvm_manager.workers.genvm.engine.endings import (
    OUT_OF_MEMORY,
    OUT_OF_RECEIPT,
    OUT_OF_STORAGE,
    CallEnded,
    Outcome,
)

from .storage import Pages, Storage

MAX_DEPTH = 32
"""How many calls may be inside each other (docs/spec/06-contracts.md#imports)."""


class EntryKind(IntEnum):
    """What a guest is started for, as its start message says."""

    MAIN = 0
    SANDBOX = 1
    CONSENSUS_STAGE = 2


class Message(NamedTuple):
    """Who calls whom, and when; `value` is in the smallest unit.

    Source: docs/spec/06-contracts.md#the-machine.
    """

    contract_address: Address
    sender_address: Address
    origin_address: Address
    chain_id: int
    value: int
    is_init: bool
    datetime: str

    @property
    def nanoseconds(self) -> int:
        """`datetime` as nanoseconds since 1970."""
        since = datetime.fromisoformat(self.datetime) - _EPOCH
        return ((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode_message(fields: dict[str, Any]) -> Message:
    """Return the message of a run. Raises `MalformedMessage` that names the field at fault.

    A null `value` is 0. A message without `datetime` is dated 1970: the executor has no other
    clock that all machines share. A time of another zone is told in UTC, with `Z`.
    """
    known: dict[str, Any] = {"value": 0, "datetime": "1970-01-01T00:00:00Z", "is_init": False} | {
        name: found for name, found in fields.items() if found is not None
    }
    for name, kind in _MESSAGE_TYPES.items():
        if type(known.get(name)) is not kind:
            raise MalformedMessage(f"message.{name}: expected {kind.__name__}")
    message = Message(**{name: known[name] for name in _MESSAGE_TYPES})
    try:
        moment = datetime.fromisoformat(message.datetime)
    except ValueError as error:
        raise MalformedMessage(f"message.datetime: {error}") from None
    if moment.tzinfo is None or moment < _EPOCH or message.nanoseconds >= 1 << 64:
        raise MalformedMessage("message.datetime: expected a time from 1970 to 2554 with its zone")
    if message.datetime.endswith("Z"):
        return message
    in_utc = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return message._replace(datetime=f"{in_utc}Z")


_MESSAGE_TYPES: dict[str, type] = {
    "contract_address": Address,
    "sender_address": Address,
    "origin_address": Address,
    "chain_id": int,
    "value": int,
    "is_init": bool,
    "datetime": str,
}


class Budget:
    """Bytes of the executor's own memory that a run may still fill.

    It fills them with what it writes and emits, and with what is held for it meanwhile.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, size: int, outcome: Outcome = OUT_OF_MEMORY) -> None:
        """Count `size` bytes. Raises `CallEnded`, which ends the run with `outcome`."""
        self._left -= size
        if self._left < 0:
            raise CallEnded(outcome)

    def give(self, size: int) -> None:
        """Count `size` bytes no more, which were taken before."""
        self._left += size


PAGE_COST = 256
"""Bytes of our memory that one written page takes, with its key and the tables around it."""

SLOT_COST = 384
"""Bytes that the table of a slot takes besides, the first time that it is written to."""

VALUE_COST = 128
"""Bytes that one value of an emission takes, in our memory and in that of the result's reader."""


class Effects:
    """What a call has changed: pages, messages, and the value that the messages send."""

    def __init__(self, base: Pages, budget: Budget) -> None:
        self._budget = budget
        self.storage = Storage(
            base,
            lambda pages, slots: budget.take(pages * PAGE_COST + slots * SLOT_COST, OUT_OF_STORAGE),
        )
        self.emissions: list[calldata.Encoded] = []
        self.spent = 0

    def emit(self, emission: dict[str, Any], value: int = 0) -> None:
        """Note a message that leaves with the result, and the `value` that it sends."""
        written = calldata.encoded(emission)
        self.charge(len(written.content) + VALUE_COST * written.values)
        self.emissions.append(written)
        self.spent += value

    def hold(self, size: int) -> None:
        """Count `size` bytes that we keep until `release`. Raises `CallEnded`."""
        self._budget.take(size)

    def release(self, size: int) -> None:
        """Count bytes no more that were held."""
        self._budget.give(size)

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Hold `size` bytes for the time of a `with`. Raises `CallEnded`."""
        self.hold(size)
        try:
            yield
        finally:
            self.release(size)

    def charge(self, size: int) -> None:
        """Count `size` bytes that the run keeps for its result. Raises `CallEnded`."""
        self._budget.take(PAGE_COST + size, OUT_OF_RECEIPT)

    def fork(self) -> Effects:
        """Return effects that start from these and change them only when absorbed."""
        fork = Effects(self.storage, self._budget)
        fork.spent = self.spent
        return fork

    def apart(self, base: Pages) -> Effects:
        """Return effects on other pages, counted on the same budget."""
        return Effects(base, self._budget)

    def absorb(self, fork: Effects) -> None:
        """Make what happened in `fork` happen here."""
        self.storage.absorb(fork.storage)
        self.emissions += fork.emissions
        self.spent = fork.spent


class CallContext(NamedTuple):
    """One call: its message, what it may do, and its effects.

    `permissions` are letters of `protocol/permissions.py`. `memory_limit` is the bytes that its
    guest may have, `depth` how many calls it is inside of. `is_det` is false in a nondet block.
    """

    message: Message
    entry_kind: EntryKind
    entry_data: bytes
    permissions: frozenset[str]
    effects: Effects
    memory_limit: int
    stack: tuple[Address, ...] = ()
    entry_stage_data: dict[str, Any] | None = None
    depth: int = 0
    locked: frozenset[bytes] = frozenset()
    is_det: bool = True

    def start_message(self) -> bytes:
        """Return the stdin of the started module (docs/spec/06-contracts.md#the-machine)."""
        return calldata.encode(
            {
                **self.message._asdict(),
                "entry_kind": int(self.entry_kind),
                "entry_data": self.entry_data,
                "entry_stage_data": self.entry_stage_data,
                "stack": list(self.stack),
            }
        )
