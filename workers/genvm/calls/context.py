"""What one contract call knows of itself, and what it has done so far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, NamedTuple

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.executor import ExecutionDataError
from genvm_manager.protocol.run_result import ResultCode

from .storage import Pages, Storage

MAX_DEPTH = 32
"""How many calls may be inside each other (docs/spec/06-contracts.md#imports)."""


class Outcome(NamedTuple):
    """How a call ended. `data`: the value returned or given with an error; for an error of the
    machine, its code string."""

    code: ResultCode
    data: Any

    def encode(self) -> bytes:
        """As the caller gets it: the code byte, then calldata, or UTF-8 for an error's code."""
        if self.code in (ResultCode.RETURN, ResultCode.USER_ERROR):
            return bytes([self.code]) + calldata.encode(self.data)
        return bytes([self.code]) + str(self.data).encode()


def vm_error(code: str) -> Outcome:
    """The machine's own error, such as `exit_code 7`."""
    return Outcome(ResultCode.VM_ERROR, code)


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
    """The message of a run. Raises `ExecutionDataError` that names the field at fault.

    A null `value` is 0. A message without `datetime` is dated 1970: the executor has no other
    clock that all machines share.
    """
    known: dict[str, Any] = {"value": 0, "datetime": "1970-01-01T00:00:00Z", "is_init": False} | {
        name: found for name, found in fields.items() if found is not None
    }
    for name, kind in _MESSAGE_TYPES.items():
        if type(known.get(name)) is not kind:
            raise ExecutionDataError(f"message.{name}: expected {kind.__name__}")
    message = Message(**{name: known[name] for name in _MESSAGE_TYPES})
    try:
        moment = datetime.fromisoformat(message.datetime)
    except ValueError as error:
        raise ExecutionDataError(f"message.datetime: {error}") from None
    if moment.tzinfo is None or moment < _EPOCH or message.nanoseconds >= 1 << 64:
        raise ExecutionDataError(
            "message.datetime: expected a time from 1970 to 2554 with its zone"
        )
    return message


_MESSAGE_TYPES: dict[str, type] = {
    "contract_address": Address,
    "sender_address": Address,
    "origin_address": Address,
    "chain_id": int,
    "value": int,
    "is_init": bool,
    "datetime": str,
}


class OutOfMemory(Exception):
    """A run holds more than its memory limit, in its own memory or in ours."""


class Budget:
    """Bytes of our own memory that a run may still fill: with what it writes and emits, and with
    what we hold for it meanwhile."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, size: int) -> None:
        """Count `size` bytes. Raises `OutOfMemory`, which ends the run."""
        self._left -= size
        if self._left < 0:
            raise OutOfMemory

    def give(self, size: int) -> None:
        """Count `size` bytes less, which were taken before."""
        self._left += size


PAGE_COST = 256
"""Bytes of ours that one written page takes, with its key and the tables around it."""

SLOT_COST = 384
"""Bytes that the table of a slot takes besides, the first time that it is written to."""

VALUE_COST = 128
"""Bytes of ours, or of whoever reads the result, that one value of an emission takes."""


class Effects:
    """What a call has changed: pages, messages, and value on its way out of the contract."""

    def __init__(self, base: Pages, budget: Budget) -> None:
        self._budget = budget
        self.storage = Storage(
            base, lambda pages, slots: budget.take(pages * PAGE_COST + slots * SLOT_COST)
        )
        self.emissions: list[calldata.Encoded] = []
        self.spent = 0

    def emit(self, emission: dict[str, Any], value: int = 0) -> None:
        """Note a message that leaves with the result, and the `value` it carries away."""
        written = calldata.encoded(emission)
        self.charge(len(written.content) + VALUE_COST * written.values)
        self.emissions.append(written)
        self.spent += value

    def hold(self, size: int) -> None:
        """Count `size` bytes that we keep until `release`. Raises `OutOfMemory`."""
        self._budget.take(size)

    def release(self, size: int) -> None:
        """Count bytes no more that were held."""
        self._budget.give(size)

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Hold `size` bytes for the time of a `with`. Raises `OutOfMemory`."""
        self.hold(size)
        try:
            yield
        finally:
            self.release(size)

    def charge(self, size: int) -> None:
        """Count `size` bytes that the run keeps for its result. Raises `OutOfMemory`."""
        self._budget.take(PAGE_COST + size)

    def fork(self) -> Effects:
        """Effects that start from these and touch them only when absorbed."""
        fork = Effects(self.storage, self._budget)
        fork.spent = self.spent
        return fork

    def apart(self, base: Pages) -> Effects:
        """Effects on other pages, counted on the same budget."""
        return Effects(base, self._budget)

    def absorb(self, fork: Effects) -> None:
        """Make what happened in `fork` happen here."""
        self.storage.absorb(fork.storage)
        self.emissions += fork.emissions
        self.spent = fork.spent


class CallContext(NamedTuple):
    """One call: its message, what it may do, and its effects. `permissions`: those of
    `protocol/permissions.py`.

    `memory_limit`: bytes that its guest may have. `depth`: how many calls it is inside of.
    `is_det`: that of every call but those of a nondet block.
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
        """The stdin of the started module (docs/spec/06-contracts.md#the-machine)."""
        return calldata.encode(
            {
                **self.message._asdict(),
                "entry_kind": int(self.entry_kind),
                "entry_data": self.entry_data,
                "entry_stage_data": self.entry_stage_data,
                "stack": list(self.stack),
            }
        )
