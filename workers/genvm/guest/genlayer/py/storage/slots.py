"""Slots: the places where bytes are kept.

A slot is 4 GiB of bytes that are zero until written. A contract has one root slot; every other one
is a child: the child of slot `s` at offset `o` has the id `sha3_256(s + u32le(o))`
(docs/spec/06-contracts.md#storage-layout-and-calls). So a value that outgrows its place keeps the
rest in the child at its own offset, and no two values ever meet.

`HostSlot` is a slot of the contract. Each crossing to the host costs some 20 µs, so reads are kept
in blocks of 256 bytes, and a slot that is read block after block is read ahead, up to 4 KiB at
once. Writes go straight to the host, and into the block when there is one. `MemorySlot` is a slot
that nobody else sees: what `gl.storage.inmem_allocate` and `TreeMap[K, V]()` live in.
"""

from __future__ import annotations

from _sha3 import sha3_256  # what hashlib gives, without loading its other hashes

from ..._machine import host

SLOT_SIZE = 1 << 32
BLOCK_BITS = 8
BLOCK_SIZE = 1 << BLOCK_BITS
MAX_READ_AHEAD = 16
MAX_BLOCKS = 16_384


class StorageError(Exception):
    """Storage was used in a way that it cannot serve; the message says what to do instead."""


class _Shared:
    """What all host slots share: which keep blocks, how many, and whether writing is allowed."""

    def __init__(self) -> None:
        self.blocks = 0
        self.slots: list[HostSlot] = []
        self.read_only_because: str | None = None


_shared = _Shared()


def forbid_writes(reason: str) -> None:
    """Make every later write to the contract's storage raise `StorageError(reason)`."""
    _shared.read_only_because = reason


def forget_blocks() -> None:
    """Read everything anew from the host: someone else may have written."""
    for slot in _shared.slots:
        slot.forget_blocks()
    _shared.slots.clear()
    _shared.blocks = 0


class HostSlot:
    """A slot of the contract's storage."""

    __slots__ = ("_ahead", "_blocks", "_children", "_next", "id")

    def __init__(self, slot_id: bytes) -> None:
        self.id = slot_id
        self._children: dict[int, HostSlot] = {}
        self._blocks: dict[int, bytes] = {}
        self._next = -1
        self._ahead = 1

    def child(self, offset: int) -> HostSlot:
        """Return the slot that belongs to the value at `offset`."""
        child = self._children.get(offset)
        if child is None:
            child_id = sha3_256(self.id + offset.to_bytes(4, "little")).digest()
            child = self._children[offset] = HostSlot(child_id)
        return child

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on."""
        number, start = offset >> BLOCK_BITS, offset & BLOCK_SIZE - 1
        end = start + length
        if end <= BLOCK_SIZE:
            block = self._blocks.get(number)
            if block is None:
                block = self._load(number, number)
            return block[start:end]
        last = (offset + length - 1) // BLOCK_SIZE
        blocks = [self._blocks.get(n) or self._load(n, last) for n in range(number, last + 1)]
        return b"".join(blocks)[start:end]

    def read_once(self, length: int) -> bytes:
        """Return the first `length` bytes without keeping them: for the content of a long value."""
        return host.storage_read(self.id, 0, length)

    def write(self, offset: int, data: bytes) -> None:
        """Put `data` at `offset`."""
        if _shared.read_only_because is not None:
            raise StorageError(_shared.read_only_because)
        if offset + len(data) > SLOT_SIZE:
            raise StorageError("a collection has outgrown the 4 GiB of its storage slot")
        try:
            host.storage_write(self.id, offset, data)
        except SystemError as error:
            error.add_note("this run may not write, or the slot is locked and only upgraders write")
            raise
        self._patch(offset, data)

    def forget_blocks(self) -> None:
        """Read everything of this slot anew."""
        self._blocks.clear()
        self._next = -1

    def _load(self, first: int, last: int) -> bytes:
        """Read the blocks `first` to `last`, and more when reading goes on in a row."""
        self._ahead = min(2 * self._ahead, MAX_READ_AHEAD) if first == self._next else 1
        count = max(last - first + 1, self._ahead)
        count = min(count, SLOT_SIZE // BLOCK_SIZE - first)
        if _shared.blocks + count > MAX_BLOCKS:
            forget_blocks()
        if not self._blocks:
            _shared.slots.append(self)
        raw = host.storage_read(self.id, first * BLOCK_SIZE, count * BLOCK_SIZE)
        for i in range(count):
            self._blocks[first + i] = raw[i * BLOCK_SIZE : (i + 1) * BLOCK_SIZE]
        _shared.blocks += count
        self._next = first + count
        return self._blocks[first]

    def _patch(self, offset: int, data: bytes) -> None:
        """Make the blocks that are kept say what was written."""
        blocks, number, start = self._blocks, offset >> BLOCK_BITS, offset & BLOCK_SIZE - 1
        end = start + len(data)
        if end <= BLOCK_SIZE:
            if number in blocks:
                block = blocks[number]
                blocks[number] = block[:start] + data + block[end:]
        elif blocks:
            self._patch_many(offset, data)

    def _patch_many(self, offset: int, data: bytes) -> None:
        end = offset + len(data)
        for number in range(offset // BLOCK_SIZE, (end - 1) // BLOCK_SIZE + 1):
            block = self._blocks.get(number)
            if block is not None:
                base = number * BLOCK_SIZE
                start, stop = max(offset - base, 0), min(end - base, BLOCK_SIZE)
                patch = data[base + start - offset : base + stop - offset]
                self._blocks[number] = block[:start] + patch + block[stop:]


class MemorySlot:
    """A slot that lives in memory only, with the interface of `HostSlot`."""

    __slots__ = ("_bytes", "_children")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._children: dict[int, MemorySlot] = {}

    def child(self, offset: int) -> MemorySlot:
        """Return the slot that belongs to the value at `offset`."""
        child = self._children.get(offset)
        if child is None:
            child = self._children[offset] = MemorySlot()
        return child

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on."""
        return bytes(self._bytes[offset : offset + length]).ljust(length, b"\0")

    def read_once(self, length: int) -> bytes:
        """Return the first `length` bytes."""
        return self.read(0, length)

    def write(self, offset: int, data: bytes) -> None:
        """Put `data` at `offset`."""
        missing = offset + len(data) - len(self._bytes)
        if missing > 0:
            self._bytes += bytes(missing)
        self._bytes[offset : offset + len(data)] = data


Slot = HostSlot | MemorySlot

ROOT = HostSlot(bytes(32))
"""The contract's root slot (docs/spec/06-contracts.md#storage-layout-and-calls)."""
