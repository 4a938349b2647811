"""A contract's storage as one run sees it: the host's pages under those the run wrote.

Source: docs/spec/06-contracts.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.host.client import HostClient
from genvm_manager.protocol.host.messages import StorageRead, StorageType

PAGE = 32

MAX_CACHED_PAGES = 1 << 17
"""Pages kept from the host in one run, 4 MiB of content; beyond that, all are forgotten and asked
again."""

BLOCK = 8
"""Pages that are asked for together, as their neighbours are often wanted next."""

MAX_CACHED_RANGE = 1 << 12
"""Pages of the longest range that is kept; a longer one is asked for each time, as a whole."""


class Pages(Protocol):
    """Something that pages are read from."""

    def read_pages(self, slot: bytes, first: int, count: int) -> bytes:
        """Return `count` whole pages. Raises `HostRefusal`, `HostProtocolError`."""


class PageCache:
    """What the hosts of one run have given, by contract, slot and number of the page."""

    def __init__(self) -> None:
        self._slots: dict[tuple[StorageType, Address, bytes], dict[int, bytes]] = {}
        self._count = 0

    def slot(self, key: tuple[StorageType, Address, bytes]) -> dict[int, bytes]:
        """Return the known pages of a slot, to be read only."""
        return self._slots.get(key, {})

    def put(self, key: tuple[StorageType, Address, bytes], pages: dict[int, bytes]) -> None:
        """Keep `pages`; for their sake all others may be forgotten."""
        if self._count + len(pages) > MAX_CACHED_PAGES:
            self._slots.clear()
            self._count = 0
        self._count += len(pages)
        self._slots.setdefault(key, {}).update(pages)


class CommittedPages:
    """What the host has for one contract, each page asked for once."""

    def __init__(
        self, host: HostClient, address: Address, storage_type: StorageType, cache: PageCache
    ) -> None:
        self._host = host
        self._address = address
        self._storage_type = storage_type
        self._cache = cache

    def read_pages(self, slot: bytes, first: int, count: int) -> bytes:
        """Return `count` whole pages of `slot` from number `first`. Raises as `Pages`."""
        if count > MAX_CACHED_RANGE:
            return self._fetch(slot, first, count)
        key = self._storage_type, self._address, slot
        known = self._cache.slot(key)
        numbers = range(first, first + count)
        missing = [number for number in numbers if number not in known]
        fetched: dict[int, bytes] = {}
        if missing:
            start = missing[0] // BLOCK * BLOCK
            end = (missing[-1] // BLOCK + 1) * BLOCK
            fetched = dict(enumerate(_cut(self._fetch(slot, start, end - start)), start))
            self._cache.put(key, fetched)
        return b"".join([fetched.get(number) or known[number] for number in numbers])

    def _fetch(self, slot: bytes, first: int, count: int) -> bytes:
        request = StorageRead(self._storage_type, self._address, slot, first * PAGE, count * PAGE)
        return self._host.storage_read(request)


def _cut(pages: bytes) -> Iterator[bytes]:
    """Cut `pages` into single pages."""
    return (pages[at : at + PAGE] for at in range(0, len(pages), PAGE))


class Storage:
    """Pages written over `base`, which stays as it is.

    `charge` is told how many pages are new, and how many slots, and may raise to stop a run that
    writes without end.
    Offsets and lengths are in bytes; their sum is at most 2 to the 32.
    """

    def __init__(self, base: Pages, charge: Callable[[int, int], None]) -> None:
        self._base = base
        self._charge = charge
        self._written: dict[bytes, dict[int, bytes]] = {}

    def read(self, slot: bytes, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        if not length:
            return b""
        first, skipped = divmod(offset, PAGE)
        count = (skipped + length + PAGE - 1) // PAGE
        return self.read_pages(slot, first, count)[skipped : skipped + length]

    def read_pages(self, slot: bytes, first: int, count: int) -> bytes:
        """Return `count` whole pages of `slot` from number `first`, as they are now."""
        written = self._written.get(slot)
        if not written:
            return self._base.read_pages(slot, first, count)
        numbers = range(first, first + count)
        if count < len(written):
            own = [number for number in numbers if number in written]
        else:
            own = [number for number in written if number in numbers]
        if len(own) == count:
            return b"".join([written[number] for number in numbers])
        under = self._base.read_pages(slot, first, count)
        if not own:
            return under
        pages = bytearray(under)
        for number in own:
            at = (number - first) * PAGE
            pages[at : at + PAGE] = written[number]
        return bytes(pages)

    def write(self, slot: bytes, offset: int, content: bytes) -> None:
        """Put all of `content` at `offset`."""
        if not content:
            return
        first, skipped = divmod(offset, PAGE)
        written = self._written.get(slot)
        end = skipped + len(content)
        if written and end <= PAGE and (page := written.get(first)) is not None:
            written[first] = page[:skipped] + content + page[end:]
            return
        pages = self._whole_pages(slot, offset, content)
        numbers = range(first, first + len(pages) // PAGE)
        known = sum(number in written for number in numbers) if written else 0
        self._charge(len(numbers) - known, 1 if written is None else 0)
        self._written.setdefault(slot, {}).update(zip(numbers, _cut(pages), strict=True))

    def _whole_pages(self, slot: bytes, offset: int, content: bytes) -> bytes:
        """Return `content`, and around it what its first and last page hold already."""
        first, skipped = divmod(offset, PAGE)
        head = self.read_pages(slot, first, 1)[:skipped] if skipped else b""
        end = offset + len(content)
        rest = end % PAGE
        tail = self.read_pages(slot, end // PAGE, 1)[rest:] if rest else b""
        return head + content + tail

    def changes(self) -> list[tuple[bytes, bytes]]:
        """Return the pages written, by key: its number in there is big-endian, unlike all else.

        Source: docs/spec/04-executor.md#the-result.
        """
        return [
            (slot + number.to_bytes(4, "big"), page)
            for slot, pages in sorted(self._written.items())
            for number, page in sorted(pages.items())
        ]

    def absorb(self, above: Storage) -> None:
        """Take over what was written to `above`, which has this one as base and paid for it."""
        for slot, pages in above._written.items():
            self._written.setdefault(slot, {}).update(pages)
