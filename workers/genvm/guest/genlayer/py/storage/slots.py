"""Slots: the places where bytes are kept, and what keeps them.

A slot is 32 bytes of name and up to 4 GiB of content, zero until written. The content of variable
length of the field at `offset` of a slot lies in a child slot, whose name is
`sha3_256(slot + u32le(offset))` (docs/spec/08-storage-layout.md#slots-and-pages).
"""

from __future__ import annotations

from _sha3 import sha3_256  # what hashlib gives, without loading its other hashes
from abc import ABC, abstractmethod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Buffer
    from typing import Any

ROOT_SLOT_ID = bytes(32)
SLOT_SIZE = 1 << 32

_MAX_CHILD_IDS = 4096
"""How many names are remembered: to find a key in a map, the same few are asked for again."""

_child_ids: dict[tuple[bytes, int], bytes] = {}


def child_id(slot_id: bytes, offset: int) -> bytes:
    """Return the name of the slot that belongs to the field at `offset` of the slot `slot_id`."""
    field = slot_id, offset
    found = _child_ids.get(field)
    if found is None:
        if len(_child_ids) == _MAX_CHILD_IDS:
            _child_ids.clear()
        found = sha3_256(slot_id + offset.to_bytes(4, "little")).digest()
        _child_ids[field] = found
    return found


class Manager(ABC):
    """Keeps the content of slots.

    The writes of a `with` are done in order, but all of them may be done at its end only. Nothing
    that the contract has written runs in there.
    """

    def __enter__(self) -> None:  # noqa: B027 - where each write is done at once
        pass

    def __exit__(self, *_: object) -> None:  # noqa: B027 - as above
        pass

    @abstractmethod
    def get_store_slot(self, slot_id: bytes) -> Slot:
        """Return the slot of this name."""

    @abstractmethod
    def do_read(self, slot_id: bytes, offset: int, length: int) -> bytes:
        """Return `length` bytes of a slot from byte `offset` on."""

    @abstractmethod
    def do_write(self, slot_id: bytes, offset: int, data: Buffer) -> None:
        """Put `data` at byte `offset` of a slot."""


class Slot:
    """One slot of a manager."""

    __slots__ = ("_children", "id", "manager")

    def __init__(self, slot_id: bytes, manager: Manager) -> None:
        self.id = slot_id
        self.manager = manager
        self._children: dict[int, Slot] = {}

    def indirect(self, offset: int) -> Slot:
        """Return the slot that belongs to the field at `offset`."""
        child = self._children.get(offset)
        if child is None:
            child = self.manager.get_store_slot(child_id(self.id, offset))
            self._children[offset] = child
        return child

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from byte `offset` on."""
        return self.manager.do_read(self.id, offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        """Put `data` at byte `offset`."""
        self.manager.do_write(self.id, offset, data)

    def as_int(self) -> int:
        """Return the name as a number (little-endian): what the list of locked slots holds."""
        return int.from_bytes(self.id, "little")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Slot):
            return NotImplemented
        return self.id == other.id and self.manager is other.manager

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Slot({self.id.hex()})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Slot, (self.id, self.manager)


class MemoryManager(Manager):
    """Keeps slots that no other machine sees, in memory."""

    def __init__(self) -> None:
        self._content: dict[bytes, bytearray] = {}

    def get_store_slot(self, slot_id: bytes) -> Slot:
        """Return the slot of this name."""
        return Slot(slot_id, self)

    def do_read(self, slot_id: bytes, offset: int, length: int) -> bytes:
        """Return `length` bytes of a slot from byte `offset` on."""
        content = self._content.get(slot_id, b"")
        return bytes(content[offset : offset + length]).ljust(length, b"\0")

    def do_write(self, slot_id: bytes, offset: int, data: Buffer) -> None:
        """Put `data` at byte `offset` of a slot."""
        content = self._content.setdefault(slot_id, bytearray())
        data = bytes(data)
        missing = offset + len(data) - len(content)
        if missing > 0:
            content += bytes(missing)
        content[offset : offset + len(data)] = data


def memory_slot() -> Slot:
    """Return a slot in a memory of its own."""
    return MemoryManager().get_store_slot(ROOT_SLOT_ID)
