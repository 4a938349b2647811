"""The fields of Python contracts: what they hold, and that it lasts from run to run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from genvm_manager.protocol.calldata import Address
from tests.support.python_contracts import ALICE, BOB, Chain, running_chain


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


FIELDS = """
from genlayer import *
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

@allow_storage
@dataclass
class Note:
    text: str
    stars: u8
    tags: DynArray[str]
    seen_by: TreeMap[Address, bool]

@allow_storage
@dataclass
class Pair(Generic[T]):
    left: T
    right: DynArray[T]

@allow_storage
class Plain:
    count: i32
    name: str
    def __init__(self, name):
        self.name = name
    def grow(self):
        self.count += 1

class Fields(gl.Contract):
    flag: bool
    small: u8
    large: u256
    below: i24
    big: bigint
    text: str
    raw: bytes
    who: Address
    at: datetime
    ratio: float
    fixed: Array[i16, Literal[3]]
    note: Note
    notes: DynArray[Note]
    pair: Pair[i64]
    plain: Plain
    deep: TreeMap[str, TreeMap[u32, DynArray[Note]]]

    @gl.public.write
    def fill(self, big: int, text: str) -> None:
        self.flag, self.small, self.large, self.below = True, 255, 2**256 - 1, -2**23
        self.big, self.text, self.raw = big, text, text.encode()
        self.who = gl.message.sender_address
        self.at = datetime(2024, 2, 29, 12, 30, tzinfo=timezone(timedelta(hours=-5)))
        self.ratio = -0.375
        self.fixed[1] = -7
        seen = gl.storage.inmem_allocate(TreeMap[Address, bool])
        seen[self.who] = True
        note = Note(text, 3, ["a", text], seen)
        self.note = note
        self.notes.append(note)
        self.notes.append(self.note)
        self.notes[0].tags.append("more")
        self.notes[1].stars += 1
        self.pair = gl.storage.inmem_allocate(Pair[i64], -1, [2])
        self.pair.right.append(-3)
        self.plain = Plain("p")
        self.plain.grow()
        self.deep.get_or_insert_default("x").get_or_insert_default(9).append(note)
        self.deep["x"][9][0].seen_by[Address(bytes(20))] = False

    @gl.public.view
    def show(self) -> dict:
        return {
            "flag": self.flag, "small": self.small, "large": self.large, "below": self.below,
            "big": self.big, "text": self.text, "raw": self.raw, "who": self.who,
            "at": self.at.isoformat(), "ratio": str(self.ratio),
            "fixed": self.fixed, "note": show(self.note), "notes": [show(n) for n in self.notes],
            "pair": self.pair, "plain": [self.plain.count, self.plain.name],
            "deep": {k: {str(i): [show(n) for n in ns] for i, ns in v.items()}
                     for k, v in self.deep.items()},
        }

def show(note):
    return [note.text, note.stars, note.tags, {k.as_hex: v for k, v in note.seen_by.items()}]
"""

ZERO_ADDRESS = "0x0000000000000000000000000000000000000000"


@pytest.mark.parametrize(("big", "text"), [(-1, "short"), (-(10**200), "é" * 500)])
def test_every_type_lasts_and_begins_as_zero(chain: Chain, big: int, text: str) -> None:
    contract = chain.deploy(FIELDS)
    assert contract.call("show") == {
        "flag": False, "small": 0, "large": 0, "below": 0, "big": 0, "text": "", "raw": b"",
        "who": Address(bytes(20)), "at": "1970-01-01T00:00:00",
        "ratio": "0.0", "fixed": [0, 0, 0], "note": ["", 0, [], {}], "notes": [],
        "pair": {"left": 0, "right": []}, "plain": [0, ""], "deep": {},
    }  # fmt: skip
    sender = Address(b"\x5b" * 20)
    contract.call("fill", big, text, sender=sender)
    seen = {sender.as_hex: True}
    assert contract.call("show") == {
        "flag": True, "small": 255, "large": 2**256 - 1, "below": -(2**23), "big": big,
        "text": text, "raw": text.encode(), "who": sender, "at": "2024-02-29T12:30:00-05:00",
        "ratio": "-0.375", "fixed": [0, -7, 0],
        "note": [text, 3, ["a", text], seen],
        "notes": [[text, 3, ["a", text, "more"], seen], [text, 4, ["a", text], seen]],
        "pair": {"left": -1, "right": [2, -3]}, "plain": [1, "p"],
        "deep": {"x": {"9": [[text, 3, ["a", text], {ZERO_ADDRESS: False} | seen]]}},
    }  # fmt: skip


PERMISSION = """
from genlayer import *

class Counter(gl.Contract):
    count: u8
    names: DynArray[str]

    @gl.public.write
    def put(self, count: int, names: list) -> None:
        self.names = names
        self.count = count

    @gl.public.view
    def get(self) -> list:
        return [self.count, self.names]
"""


def test_a_failed_run_leaves_nothing_and_names_the_field(chain: Chain) -> None:
    contract = chain.deploy(PERMISSION)
    contract.call("put", 7, ["a"])
    too_large = contract.calling("put", 256, ["b"])
    assert too_large.vm_error() == "exit_code 1"
    assert "OverflowError: 256 does not fit in u8" in too_large.stderr
    assert "while setting Counter.count" in too_large.stderr
    other_type = contract.calling("put", 1, [2])
    assert other_type.vm_error() == "exit_code 1"
    assert "AttributeError: str takes a str, got int 2" in other_type.stderr
    assert contract.call("get") == [7, ["a"]]


def test_the_machine_refuses_to_write_without_permission(chain: Chain) -> None:
    contract = chain.deploy(PERMISSION)
    refused = contract.calling("put", 1, [], permissions="r")
    assert refused.vm_error() == "exit_code 1"
    assert "forbidden" in refused.stderr


@pytest.mark.parametrize(
    ("declaration", "reason"),
    [
        ("x: int", "Broken.x: int cannot be stored; use a sized integer"),
        ("x: dict[str, u8]", "Broken.x: dict[str, u8] cannot be stored; use TreeMap[K, V]"),
        ("x: TreeMap", "TreeMap needs its types, such as TreeMap[str, u256]"),
        ("x: TreeMap[str]", "TreeMap[str] needs its types, such as TreeMap[str, u256]"),
        ("x: Array[u8, 3]", "a length is written as in Array[u8, Literal[32]], got 3"),
        ("x: Other", "Broken.x: Other cannot be stored; is @allow_storage missing"),
        ("x: 'DynArray[Outer]'", "Outer.y: Other cannot be stored; is @allow_storage missing"),
        ("x: Generic", "Generic.y: T stands for no type here; give the types, as in Pair[u8, str]"),
        ("x: Slotted", "Slotted: a storage class has no __slots__"),
    ],
)
def test_a_type_that_cannot_be_stored_is_named(chain: Chain, declaration: str, reason: str) -> None:
    failed = chain.deploying(BROKEN + declaration).last
    assert failed.vm_error() == "exit_code 1"
    assert reason in failed.stderr


BROKEN = """
from genlayer import *
class Other: pass

@allow_storage
class Outer:
    y: Other

@allow_storage
class Generic[T]:
    y: T

@allow_storage
class Slotted:
    __slots__ = ("y",)
    y: u8

class Broken(gl.Contract):
    """


MADE = """
from genlayer import *
from dataclasses import dataclass, field, replace

@allow_storage
@dataclass(frozen=True)
class Item[T]:
    value: T
    label: str = "none"

@dataclass
@allow_storage
class Row:
    cells: DynArray[u8] = field(default_factory=list)
    best: u8 = 9

early = Row([4, 5])

class Made(gl.Contract):
    items: DynArray[Item[u8]]
    row: Row
    map: TreeMap[str, DynArray[u8]]

    @gl.public.write
    def put(self) -> list:
        self.items.append(gl.storage.inmem_allocate(Item[u8], 7))
        self.items.append(gl.storage.inmem_allocate(Item[u8], 8, label="eight"))
        self.row = early
        self.row.cells.append(1)
        copy = gl.storage.copy_to_memory(self.row)
        cells = gl.storage.copy_to_memory(self.row.cells)
        self.row.cells.append(2)
        self.row.lost = 1
        fresh = TreeMap[str, DynArray[u8]]()
        fresh["k"] = [1]
        fresh["k"].append(2)
        self.map = fresh
        other = replace(early, best=3)
        return [copy.cells, cells, other.best, TreeMap(), hasattr(self.row, "lost")]

    @gl.public.view
    def get(self) -> list:
        return [self.items, self.row, self.map]
"""


def test_values_are_made_in_memory_and_copied_into_storage(chain: Chain) -> None:
    contract = chain.deploy(MADE)
    assert contract.call("put") == [[4, 5, 1], [4, 5, 1], 3, {}, False]
    items = [{"value": 7, "label": "none"}, {"value": 8, "label": "eight"}]
    row = {"cells": [4, 5, 1, 2], "best": 9}
    assert contract.call("get") == [items, row, {"k": [1, 2]}]


LOCKED = """
from genlayer import *

class Locked(gl.Contract):
    before: DynArray[str]
    map: TreeMap[str, u32]
    text: str

    def __init__(self):
        for i in range(7):
            self.map[str(i)] = i
        self.text = "old text"
        here = gl.storage.Root.get().contract_instance.slot()
        locked = gl.storage.Root.get().locked_slots.get()
        locked.append(here.indirect(4 + 4).as_int())
        locked.append(here.indirect(4 + 12).as_int())

    @gl.public.write
    def play(self) -> list:
        seen = []
        for change in (
            lambda: self.map.__setitem__("new", 9),
            lambda: self.map.__delitem__("3"),
            lambda: self.map.__delitem__("6"),
            lambda: setattr(self, "text", "new"),
        ):
            try:
                change()
            except SystemError as error:
                seen.append([str(error), len(self.map), list(self.map), self.text])
        self.before.append("still writes")
        return seen
"""


def test_writes_before_a_refused_one_are_done_and_none_after_it(chain: Chain) -> None:
    contract = chain.deploy(LOCKED)
    keys = ["0", "1", "2", "3", "4", "5", "6"]
    refused = "6: forbidden"
    assert contract.call("play", sender=BOB) == [
        [refused, 8, keys, "old text"],
        [refused, 7, keys, "old text"],
        [refused, 6, keys, "old text"],
        [refused, 6, keys, "old"],
    ]


SHARED = """
from genlayer import *

class Shared(gl.Contract):
    count: u32
    text: str

    @gl.public.write
    def play(self) -> list:
        seen = []
        def inside():
            self.count = self.count + 1
            self.text = "inside"
        self.text = "here"
        seen.append([self.count, self.text])
        gl.vm.spawn_sandbox(inside, allow_write_ops=True)
        seen.append([self.count, self.text])
        gl.vm.spawn_sandbox(inside, allow_write_ops=False)
        seen.append([self.count, self.text])
        self.text = "x" * 5000
        self.text = "y" * 4999
        seen.append([self.text == "y" * 4999])
        return seen
"""


def test_what_a_sandbox_wrote_is_read_and_pages_leave_once_written(chain: Chain) -> None:
    contract = chain.deploy(SHARED)
    expected = [[0, "here"], [1, "inside"], [1, "inside"], [True]]
    assert contract.call("play") == expected
    assert len(contract.last.result.storage_changes) == 1 + (5000 + 31) // 32


UPGRADABLE = """
from genlayer import *

class Upgradable(gl.Contract):
    text: str

    def __init__(self, upgradable: bool):
        self.text = "kept"
        if upgradable:
            gl.storage.Root.get().upgraders.get().append(gl.message.sender_address)

    @gl.public.write
    def upgrade(self, code: bytes) -> None:
        stored = gl.storage.Root.get().code.get()
        stored.truncate()
        stored.extend(code)
"""

UPGRADED = b"""# { "Depends": "py-genlayer:test" }
from genlayer import *
class Upgraded(gl.Contract):
    text: str
    @gl.public.view
    def get(self) -> str:
        return self.text
"""


def test_only_upgraders_change_the_code(chain: Chain) -> None:
    contract = chain.deploy(UPGRADABLE, True, sender=ALICE)
    assert contract.calling("upgrade", UPGRADED, sender=BOB).vm_error() == "exit_code 1"
    assert "forbidden" in contract.last.stderr
    contract.call("upgrade", UPGRADED, sender=ALICE)
    assert contract.call("get") == "kept"
    fixed = chain.deploy(UPGRADABLE, False, sender=ALICE)
    assert fixed.calling("upgrade", UPGRADED, sender=ALICE).vm_error() == "exit_code 1"


LARGE = """
from genlayer import *

class Large(gl.Contract):
    numbers: TreeMap[u32, u64]
    words: DynArray[str]

    @gl.public.write
    def fill(self, count: int) -> None:
        for i in range(count):
            self.numbers[i * 7919 % count] = i
        self.words.extend("w" * (i % 80) for i in range(count))

    @gl.public.view
    def sums(self) -> list[int]:
        lengths = sum(len(word) for word in self.words)
        return [len(self.numbers), sum(self.numbers), sum(self.numbers.values()), lengths]
"""


def test_reading_a_large_collection_takes_few_host_calls(chain: Chain) -> None:
    count = 500
    contract = chain.deploy(LARGE)
    contract.call("fill", count)
    chain.node.requests.clear()
    total = count * (count - 1) // 2
    lengths = sum(i % 80 for i in range(count))
    assert contract.call("sums") == [count, total, total, lengths]
    words = sum(i % 80 > 0 for i in range(count))  # each has a slot of its own
    assert chain.node.requests.count("storage_read") < 80 + words
