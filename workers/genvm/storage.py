"""A contract's storage as one run sees it: the host's pages under those the run wrote (spec 06)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from protocol.calldata import Address
from protocol.contract_code import InvalidContract
from protocol.host import HostRefusal, StorageRead, StorageType
from protocol.storage_layout import (
    CODE_SLOT,
    LOCKED_SLOTS_FIELD,
    ROOT_SLOT,
    UPGRADERS_FIELD,
    indirection,
    stored_code,
)

from .hosts import Hosts

PAGE = 32

MAX_CACHED_PAGES = 1 << 17
"""Pages kept from the host (4 MiB of content); beyond that, all are forgotten and asked again."""

_U32 = struct.Struct("<I")


class PageKey(NamedTuple):
    """Where a page stands: its slot, and its number in there."""

    slot: bytes
    number: int

    def encode(self) -> bytes:
        """The key of a storage change: big-endian, unlike all else (spec 04, the result)."""
        return self.slot + self.number.to_bytes(4, "big")


class Pages(Protocol):
    """Something that pages are read from."""

    def read_pages(self, slot: bytes, first: int, count: int) -> bytes:
        """`count` whole pages. Raises `HostRefusal`, `HostProtocolError`."""


class CommittedPages:
    """What the host has for one contract, each page asked for once."""

    def __init__(self, host: Hosts, address: Address, storage_type: StorageType) -> None:
        self._host = host
        self._address = address
        self._storage_type = storage_type
        self._cache: dict[tuple[bytes, int], bytes] = {}

    def read_pages(self, slot: bytes, first: int, count: int) -> bytes:
        cache = self._cache
        known = [cache.get((slot, number)) for number in range(first, first + count)]
        missing = [index for index, page in enumerate(known) if page is None]
        if missing:
            start, end = missing[0], missing[-1] + 1
            fetched = self._fetch(slot, first + start, end - start)
            known[start:end] = [fetched[at : at + PAGE] for at in range(0, len(fetched), PAGE)]
        return b"".join(page for page in known if page is not None)

    def _fetch(self, slot: bytes, first: int, count: int) -> bytes:
        request = StorageRead(self._storage_type, self._address, slot, first * PAGE, count * PAGE)
        fetched = self._host.storage_read(request)
        if len(self._cache) + count > MAX_CACHED_PAGES:
            self._cache.clear()
        if count <= MAX_CACHED_PAGES:
            for index in range(count):
                page = fetched[index * PAGE : (index + 1) * PAGE]
                self._cache[slot, first + index] = page
        return fetched


class Storage:
    """Pages written over `base`, which stays as it is.

    `charge` is told how many pages are new, and may raise to stop a run that writes without end.
    Offsets and lengths are in bytes; their sum is at most 2 to the 32.
    """

    def __init__(self, base: Pages, charge: Callable[[int], None]) -> None:
        self._base = base
        self._charge = charge
        self._written: dict[PageKey, bytes] = {}

    def read(self, slot: bytes, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        if not length:
            return b""
        first, skipped = divmod(offset, PAGE)
        count = (skipped + length + PAGE - 1) // PAGE
        return self.read_pages(slot, first, count)[skipped : skipped + length]

    def read_pages(self, slot: bytes, first: int, count: int) -> bytes:
        written = self._written
        own = [written.get(PageKey(slot, number)) for number in range(first, first + count)]
        if None not in own:
            return b"".join(page for page in own if page is not None)
        under = self._base.read_pages(slot, first, count)
        if not any(own):
            return under
        return b"".join(
            under[index * PAGE : (index + 1) * PAGE] if page is None else page
            for index, page in enumerate(own)
        )

    def write(self, slot: bytes, offset: int, content: bytes) -> None:
        """Put all of `content` at `offset`."""
        if not content:
            return
        for key, page in self._whole_pages(slot, offset, content):
            if key not in self._written:
                self._charge(1)
            self._written[key] = page

    def _whole_pages(
        self, slot: bytes, offset: int, content: bytes
    ) -> Iterator[tuple[PageKey, bytes]]:
        first, skipped = divmod(offset, PAGE)
        head = self.read_pages(slot, first, 1)[:skipped] if skipped else b""
        end = offset + len(content)
        rest = end % PAGE
        tail = self.read_pages(slot, end // PAGE, 1)[rest:] if rest else b""
        whole = head + content + tail
        for index in range(len(whole) // PAGE):
            yield PageKey(slot, first + index), whole[index * PAGE : (index + 1) * PAGE]

    def changes(self) -> list[tuple[bytes, bytes]]:
        """The pages written, by key (spec 04, the result)."""
        return sorted((key.encode(), page) for key, page in self._written.items())

    def absorb(self, above: Storage) -> None:
        """Take over what was written to `above`, which has this one as base and paid for it."""
        self._written |= above._written


def read_code(storage: Storage, max_size: int) -> bytes:
    """The contract's code. Raises `InvalidContract` where there is none, or too much."""
    size = _U32.unpack(_read(storage, CODE_SLOT, 0, 4))[0]
    if not size:
        raise InvalidContract("there is no contract at this address")
    if size > max_size:
        raise InvalidContract(f"the code has {size} bytes, the limit is {max_size}")
    return _read(storage, CODE_SLOT, 4, size)


def write_code(storage: Storage, code: bytes) -> None:
    """Put the code of a deployment where later calls find it."""
    storage.write(CODE_SLOT, 0, stored_code(code))


def locked_slots(storage: Storage, sender: Address) -> frozenset[bytes]:
    """The slots that `sender` may not write: the locked ones, unless it is an upgrader.

    Both lists are a u32 count, then the items (spec 06, storage layout). Raises `InvalidContract`
    where the host does not say.
    """
    locked = _read_list(storage, LOCKED_SLOTS_FIELD, len(ROOT_SLOT))
    if not locked or bytes(sender) in _read_list(storage, UPGRADERS_FIELD, Address.SIZE):
        return frozenset()
    return locked


_MAX_LIST = 1 << 16


def _read_list(storage: Storage, field: int, item_size: int) -> frozenset[bytes]:
    slot = indirection(ROOT_SLOT, field)
    count = min(_U32.unpack(_read(storage, slot, 0, 4))[0], _MAX_LIST)
    items = _read(storage, slot, 4, count * item_size)
    return frozenset(items[at : at + item_size] for at in range(0, len(items), item_size))


def _read(storage: Storage, slot: bytes, offset: int, length: int) -> bytes:
    try:
        return storage.read(slot, offset, length)
    except HostRefusal as refusal:
        raise InvalidContract(f"its storage cannot be read: {refusal}") from None
