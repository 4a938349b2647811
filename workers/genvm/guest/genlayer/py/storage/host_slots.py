"""The slots of the contract's storage, which the host keeps.

Each crossing to the host costs some 20 µs, so what was read is kept in blocks of 256 bytes, and a
slot that is read block after block is read ahead, up to 4 KiB at once. Each write goes to the
host, exactly as it is asked for, because the pages that a run touches are part of its result; the
kept block is changed as well. Writes inside a `with` of the manager go together. Who lets another
machine write calls `forget_blocks`.
"""

from __future__ import annotations

from ..._machine import host
from .slots import ROOT_SLOT_ID, SLOT_SIZE, Manager, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Buffer, Iterable


BLOCK_BITS = 8
BLOCK_SIZE = 1 << BLOCK_BITS
MAX_READ_AHEAD = 16
MAX_BLOCKS = 16_384
LONG_READ = MAX_READ_AHEAD * BLOCK_SIZE
"""What is read at once that is longer is not kept: the content of a long value."""


class _Kept(dict):
    """The blocks that are kept of one slot, by number, and how far ahead to read."""

    __slots__ = ("ahead", "next")

    def __init__(self) -> None:
        self.next = -1
        self.ahead = 1


class HostManager(Manager):
    """Keeps the contract's storage, at the host."""

    def __init__(self) -> None:
        self._slots: dict[bytes, _Kept] = {}
        self._count = 0
        self._waiting: list[bytes] | None = None
        """The writes since the beginning of the `with` that the host has not got yet."""

    def get_store_slot(self, slot_id: bytes) -> Slot:
        """Return the slot of this name."""
        return Slot(slot_id, self)

    def do_read(self, slot_id: bytes, offset: int, length: int) -> bytes:
        """Return `length` bytes of a slot from byte `offset` on."""
        kept = self._slots.get(slot_id)
        if kept is not None:
            block = kept.get(offset >> BLOCK_BITS)
            if block is not None:
                start = offset & BLOCK_SIZE - 1
                end = start + length
                if end <= BLOCK_SIZE:
                    return block[start:end]
        if length > LONG_READ or offset + length > SLOT_SIZE:
            self._send()
            return host.storage_read(slot_id, offset, length)
        return self._read_blocks(slot_id, offset, length) if length else b""

    def do_write(self, slot_id: bytes, offset: int, data: Buffer) -> None:
        """Put `data` at byte `offset` of a slot. Raises `SystemError` where that is refused."""
        data = b"" + data
        parts = host.write_to(slot_id, offset, data)
        if self._waiting is None:
            self._write(parts)
        else:
            self._waiting += parts
        kept = self._slots.get(slot_id)
        if kept is not None:
            _patch(kept, offset, data)

    def __enter__(self) -> None:
        self._waiting = []

    def __exit__(self, *_: object) -> None:
        try:
            self._send()
        finally:
            self._waiting = None

    def _send(self) -> None:
        """Let the host do the writes that wait. Raises `SystemError` for the first refused one."""
        if self._waiting:
            parts, self._waiting = self._waiting, []
            try:
                self._write(parts)
            except BaseException:
                self._slots.clear()  # they may say what was not written
                raise

    def _write(self, parts: Iterable[bytes]) -> None:
        try:
            host.storage_write(parts)
        except SystemError as error:
            error.add_note("this run may not write, or the slot is locked and only upgraders write")
            raise

    def forget_blocks(self) -> None:
        """Read everything anew from the host: someone else may have written."""
        self._slots.clear()
        self._count = 0

    def _read_blocks(self, slot_id: bytes, offset: int, length: int) -> bytes:
        first, start = offset >> BLOCK_BITS, offset & BLOCK_SIZE - 1
        last = (offset + length - 1) >> BLOCK_BITS
        if self._count > MAX_BLOCKS:
            self.forget_blocks()
        kept = self._slots.get(slot_id)
        if kept is None:
            kept = self._slots[slot_id] = _Kept()
        blocks = [
            kept.get(number) or self._load(slot_id, kept, number, last)
            for number in range(first, last + 1)
        ]
        return b"".join(blocks)[start : start + length]

    def _load(self, slot_id: bytes, kept: _Kept, first: int, last: int) -> bytes:
        """Read the blocks `first` to `last`, and more when reading goes on in a row."""
        kept.ahead = min(2 * kept.ahead, MAX_READ_AHEAD) if first == kept.next else 1
        count = min(max(last - first + 1, kept.ahead), SLOT_SIZE // BLOCK_SIZE - first)
        self._send()
        raw = host.storage_read(slot_id, first * BLOCK_SIZE, count * BLOCK_SIZE)
        for i in range(count):
            kept[first + i] = raw[i * BLOCK_SIZE : (i + 1) * BLOCK_SIZE]
        self._count += count
        kept.next = first + count
        return kept[first]

    def __reduce__(self) -> str:
        return "HOST"


def _patch(blocks: dict[int, bytes], offset: int, data: bytes) -> None:
    """Make the blocks that are kept say what was written."""
    number, start, at = offset >> BLOCK_BITS, offset & BLOCK_SIZE - 1, 0
    while at < len(data):
        stop = at + BLOCK_SIZE - start
        block = blocks.get(number)
        if block is not None:
            patch = data[at:stop]
            blocks[number] = block[:start] + patch + block[start + len(patch) :]
        number, start, at = number + 1, 0, stop


HOST = HostManager()
ROOT = HOST.get_store_slot(ROOT_SLOT_ID)
"""The contract's root slot (docs/spec/08-storage-layout.md#where-a-contracts-data-is)."""


def contract_slot() -> Slot:
    """Return the slot where the fields of the contract lie."""
    return ROOT.indirect(0)
