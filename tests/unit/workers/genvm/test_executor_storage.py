"""The storage overlay against a plain array of bytes.

Source: docs/spec/04-executor.md#the-result; docs/spec/06-contracts.md#storage-layout-and-calls.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.protocol.contract.storage_layout import CODE_SLOT
from genvm_manager.protocol.host.client import HostClient
from genvm_manager.protocol.host.messages import StorageRead, StorageType
from genvm_manager.workers.genvm.calls.context import Budget, Effects
from genvm_manager.workers.genvm.calls.storage import (
    BLOCK,
    MAX_CACHED_PAGES,
    MAX_CACHED_RANGE,
    PAGE,
    CommittedPages,
    PageCache,
    Storage,
)
from genvm_manager.workers.genvm.calls.stored_contract import read_code, write_code
from genvm_manager.workers.genvm.engine.endings import CallEnded, vm_error

SIZE = 256
SLOT = b"s" * 32
ADDRESS = Address(bytes(20))


class Committed:
    """A host with one slot that starts with SIZE known bytes; it counts what it is asked."""

    def __init__(self) -> None:
        self.content = bytes(n % 251 + 1 for n in range(SIZE))
        self.asked = 0

    def storage_read(self, request: StorageRead) -> bytes:
        """Return stored bytes."""
        self.asked += 1
        known = self.content if request.slot == SLOT else b""
        part = known[request.offset : request.offset + request.length]
        return part.ljust(request.length, b"\0")


def effects_on(host: Committed) -> Effects:
    pages = CommittedPages(cast(HostClient, host), ADDRESS, StorageType.DEFAULT, PageCache())
    return Effects(pages, Budget(1 << 20))


@contextmanager
def runs_out_of(what: str) -> Iterator[None]:
    """Check that the context ends the call as out of `what`, and not by its time."""
    with pytest.raises(CallEnded) as ended:
        yield
    assert ended.value.outcome == vm_error(f"OOM {what}")


def fields(storage: Storage) -> bytes:
    return storage.read(SLOT, 0, SIZE)


steps = st.lists(
    st.tuples(
        st.sampled_from(["write", "read", "fork", "absorb", "drop"]),
        st.integers(0, SIZE - 70),
        st.binary(max_size=70),
    ),
    max_size=30,
)


@given(steps)
def test_storage_is_an_array_of_bytes(script: list[tuple[str, int, bytes]]) -> None:
    host = Committed()
    levels = [(effects_on(host), bytearray(host.content))]
    for name, offset, content in script:
        effects, model = levels[-1]
        if name == "write":
            effects.storage.write(SLOT, offset, content)
            model[offset : offset + len(content)] = content
        elif name == "read":
            expected = bytes(model[offset : offset + len(content)])
            assert effects.storage.read(SLOT, offset, len(content)) == expected
        elif name == "fork":
            levels.append((effects.fork(), bytearray(model)))
        elif len(levels) > 1:
            levels.pop()
            if name == "absorb":
                levels[-1][0].absorb(effects)
                levels[-1] = levels[-1][0], model
    for effects, model in levels:
        assert fields(effects.storage) == model
    effects, model = levels[0]
    rebuilt = bytearray(host.content)
    for key, page in effects.storage.changes():
        assert key[:32] == SLOT
        at = int.from_bytes(key[32:], "big") * 32
        rebuilt[at : at + 32] = page
    assert rebuilt == model


def test_changes_are_sorted_by_slot_and_page() -> None:
    storage = effects_on(Committed()).storage
    for slot, page in [(b"b" * 32, 0), (b"a" * 32, 300), (b"a" * 32, 2)]:
        storage.write(slot, page * 32, b"x")
    keys = [key for key, _ in storage.changes()]
    assert keys == sorted(keys)
    assert keys[0] == b"a" * 32 + b"\0\0\0\2"


def test_last_byte_of_a_slot_can_be_written() -> None:
    storage = effects_on(Committed()).storage
    storage.write(SLOT, 2**32 - 1, b"!")
    assert storage.read(SLOT, 2**32 - 2, 2) == b"\0!"
    assert storage.changes() == [(SLOT + b"\x07\xff\xff\xff", bytes(31) + b"!")]


def test_whole_pages_are_written_without_asking_the_host() -> None:
    host = Committed()
    effects_on(host).storage.write(SLOT, 64, bytes(96))
    assert host.asked == 0


def test_writing_without_end_is_stopped() -> None:
    storage = effects_on(Committed()).storage
    with runs_out_of("storage"):
        for page in range(1 << 20):
            storage.write(SLOT, page * 32, bytes(32))


def test_code_is_read_back_as_it_was_written() -> None:
    storage = effects_on(Committed()).storage
    write_code(storage, b"code" * 100)
    assert read_code(storage, 400) == b"code" * 100
    with pytest.raises(InvalidContract, match="the limit is 399"):
        read_code(storage, 399)


def test_length_of_code_that_nobody_could_have_written_is_refused() -> None:
    storage = effects_on(Committed()).storage
    storage.write(CODE_SLOT, 0, b"\xff\xff\xff\xff")
    with pytest.raises(InvalidContract):
        read_code(storage, 1 << 25)


def test_events_are_counted_by_what_their_values_cost() -> None:
    event = {"type": "EmitEvent", "topics": [], "blob": {"a": [{}] * 1000}}
    effects = effects_on(Committed())
    for _ in range(8):
        effects.emit(event)
    with runs_out_of("receipt"):
        effects.emit(event)


class Zeros:
    """A host that has nothing; `asked` holds the length of each read."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def storage_read(self, request: StorageRead) -> bytes:
        """Return stored bytes."""
        self.asked.append(request.length)
        return bytes(request.length)


def test_a_range_of_60_mib_is_one_question_and_takes_a_moment() -> None:
    """It took 20 s, which nothing interrupted."""
    host = Zeros()
    pages = CommittedPages(cast(HostClient, host), ADDRESS, StorageType.DEFAULT, PageCache())
    effects = Effects(pages, Budget(1 << 28))
    effects.storage.write(SLOT, 5, b"a")
    fork = effects.fork().fork().fork()
    fork.storage.write(SLOT, 40, b"b")
    host.asked.clear()
    began = time.process_time()
    read = fork.storage.read(SLOT, 0, 60 << 20)
    assert time.process_time() - began < 2
    assert read == (bytes(5) + b"a" + bytes(34) + b"b").ljust(60 << 20, b"\0")
    assert host.asked == [60 << 20]


def test_writing_too_much_at_once_is_refused_before_anything_is_kept() -> None:
    effects = Effects(Storage(cast(CommittedPages, None), lambda *_: None), Budget(1 << 20))
    tracemalloc.start()
    content = bytes(60 << 20)
    tracemalloc.reset_peak()
    try:
        with runs_out_of("storage"):
            effects.storage.write(SLOT, 0, content)
        assert tracemalloc.get_traced_memory()[1] < 130 << 20
    finally:
        tracemalloc.stop()


def test_pages_of_all_contracts_together_are_kept_up_to_a_bound() -> None:
    host, cache = Zeros(), PageCache()
    most = MAX_CACHED_PAGES // MAX_CACHED_RANGE
    contracts = [
        CommittedPages(cast(HostClient, host), Address(bytes([n]) * 20), StorageType.DEFAULT, cache)
        for n in range(most + 1)
    ]
    for pages in contracts[:-1] * 2:
        pages.read_pages(SLOT, 0, MAX_CACHED_RANGE)
    assert len(host.asked) == most
    contracts[-1].read_pages(SLOT, 0, 1)
    contracts[0].read_pages(SLOT, 0, 1)
    assert host.asked[most:] == [BLOCK * PAGE, BLOCK * PAGE]


def test_what_is_known_around_a_range_is_not_asked_for() -> None:
    host = Committed()
    pages = CommittedPages(cast(HostClient, host), ADDRESS, StorageType.DEFAULT, PageCache())
    asked = []
    for first, count in ((0, 1), (3, 2), (15, 3), (7, 40), (0, 48)):
        expected = host.content[first * 32 : (first + count) * 32].ljust(count * 32, b"\0")
        assert pages.read_pages(SLOT, first, count) == expected
        asked.append(host.asked)
    assert asked == [1, 1, 2, 3, 3]


@pytest.mark.parametrize("is_scattered", [False, True])
def test_what_written_pages_take_is_counted_whether_in_one_slot_or_in_many(
    is_scattered: bool,
) -> None:
    limit = 16 << 20
    effects = Effects(Storage(cast(CommittedPages, None), lambda *_: None), Budget(limit))
    tracemalloc.start()
    try:
        with runs_out_of("storage"):
            for number in range(limit):
                slot = number.to_bytes(32, "little") if is_scattered else SLOT
                effects.storage.write(slot, 0 if is_scattered else number * PAGE, bytes(PAGE))
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()
