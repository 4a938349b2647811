"""The fields of Python contracts: what they hold, and that it lasts from run to run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

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
    span: timedelta
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
        self.span, self.ratio = timedelta(days=-3, microseconds=1), -0.375
        self.fixed[1] = -7
        note = Note(text, 3, ["a", text], {self.who: True})
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
            "at": self.at.isoformat(), "span": str(self.span), "ratio": str(self.ratio),
            "fixed": self.fixed, "note": show(self.note), "notes": [show(n) for n in self.notes],
            "pair": self.pair, "plain": self.plain,
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
        "who": Address(bytes(20)), "at": "1970-01-01T00:00:00+00:00", "span": "0:00:00",
        "ratio": "0.0", "fixed": [0, 0, 0], "note": ["", 0, [], {}], "notes": [],
        "pair": {"left": 0, "right": []}, "plain": {"count": 0, "name": ""}, "deep": {},
    }  # fmt: skip
    sender = Address(b"\x5b" * 20)
    contract.call("fill", big, text, sender=sender)
    seen = {sender.as_hex: True}
    assert contract.call("show") == {
        "flag": True, "small": 255, "large": 2**256 - 1, "below": -(2**23), "big": big,
        "text": text, "raw": text.encode(), "who": sender, "at": "2024-02-29T12:30:00-05:00",
        "span": "-3 days, 0:00:00.000001", "ratio": "-0.375", "fixed": [0, -7, 0],
        "note": [text, 3, ["a", text], seen],
        "notes": [[text, 3, ["a", text, "more"], seen], [text, 4, ["a", text], seen]],
        "pair": {"left": -1, "right": [2, -3]}, "plain": {"count": 1, "name": "p"},
        "deep": {"x": {"9": [[text, 3, ["a", text], {ZERO_ADDRESS: False} | seen]]}},
    }  # fmt: skip


COLLECTIONS = """
from genlayer import *

class Collections(gl.Contract):
    tree: TreeMap[str, u32]
    rows: DynArray[i64]
    texts: DynArray[str]

    @gl.public.write
    def on_tree(self, steps: list) -> list:
        return [self._on_tree(*step) for step in steps]

    def _on_tree(self, name, key, value):
        tree = self.tree
        match name:
            case "set": tree[key] = value
            case "get": return tree.get(key)
            case "in": return key in tree
            case "pop": return tree.pop(key, None)
            case "setdefault": return tree.setdefault(key, value)
            case "default": return tree.get_or_insert_default(key)
            case "len": return len(tree)
            case "popitem": return tree.popitem() if tree else None
            case "update": tree.update({key: value, key + "+": value})
            case "clear": tree.clear()
            case "assign": self.tree = {key: value}

    @gl.public.write
    def on_rows(self, steps: list) -> list:
        return [on_list(self.rows, *step) for step in steps]

    @gl.public.write
    def on_texts(self, steps: list) -> list:
        return [on_list(self.texts, name, at, "t" * (value % 90)) for name, at, value in steps]

    @gl.public.view
    def content(self) -> list:
        backwards = [list(reversed(self.tree)), list(reversed(self.rows))]
        keys, values = list(self.tree.keys()), list(self.tree.values())
        return [keys, values, dict(self.tree.items()), self.rows, self.texts, backwards]

def on_list(rows, name, at, value):
    size = len(rows)
    match name:
        case "append": rows.append(value)
        case "insert": rows.insert(at, value)
        case "pop": return rows.pop(at % size) if size else None
        case "set" if size: rows[at % size] = value
        case "get" if size: return rows[at % size - size]
        case "delete" if size: del rows[at % size]
        case "cut": del rows[at : at + 3]
        case "extend": rows.extend([value, value])
        case "double" if size < 40: rows += rows
        case "count": return rows.count(value)
        case "reverse": rows.reverse()
        case "sort": rows.sort()
        case "slice": return list(rows[at:])
        case "clear": rows.clear()
"""


def tree_step(model: dict[str, int], name: str, key: str, value: int) -> Any:
    """Return what the contract's `_on_tree` does, on a `dict`."""
    match name:
        case "set":
            model[key] = value
        case "get":
            return model.get(key)
        case "in":
            return key in model
        case "pop":
            return model.pop(key, None)
        case "setdefault":
            return model.setdefault(key, value)
        case "default":
            return model.setdefault(key, 0)
        case "len":
            return len(model)
        case "popitem":
            return [last := max(model), model.pop(last)] if model else None
        case "update":
            model.update({key: value, key + "+": value})
        case "clear" | "assign":
            model.clear()
            model.update({key: value} if name == "assign" else {})
    return None


def list_step(rows: list[Any], name: str, at: int, value: Any) -> Any:
    """Return the contract's own `on_list`, on a `list`."""
    space: dict[str, Any] = {}
    exec(COLLECTIONS[COLLECTIONS.index("def on_list") :], space)
    return space["on_list"](rows, name, at, value)


TREE_STEPS = ["set"] * 6 + ["pop"] * 4 + ["get", "in", "setdefault", "default", "len", "update"]
LIST_STEPS = ["append"] * 3 + ["insert", "pop", "set", "get", "delete", "cut", "extend", "double"]
LIST_STEPS += ["count", "reverse", "sort", "slice"]


def test_a_random_life_of_collections_is_that_of_dict_and_list(chain: Chain) -> None:
    contract = chain.deploy(COLLECTIONS)
    dice = random.Random(20260102)
    tree: dict[str, int] = {}
    rows: list[int] = []
    texts: list[str] = []
    for some_keys in (12, 150, 40):
        steps: list[list[Any]] = [
            [dice.choice(TREE_STEPS), f"k{dice.randrange(some_keys)}", dice.randrange(2**32)]
            for _ in range(350)
        ]
        steps += [[dice.choice(["clear", "assign", "popitem"]), "z", 1]]
        expected = [tree_step(tree, *step) for step in steps]
        assert contract.call("on_tree", steps) == expected
        steps = [
            [dice.choice(LIST_STEPS), dice.randrange(30), dice.randrange(-9, 9)] for _ in range(120)
        ]
        expected = [list_step(rows, *step) for step in steps]
        assert contract.call("on_rows", steps) == expected
        expected = [list_step(texts, name, at, "t" * (v % 90)) for name, at, v in steps[:60]]
        assert contract.call("on_texts", steps[:60]) == expected
        keys = sorted(tree)
        content = [keys, [tree[k] for k in keys], tree, rows, texts, [keys[::-1], rows[::-1]]]
        assert contract.call("content") == content


PERMISSION = """
from genlayer import *

class Counter(gl.Contract):
    count: u8
    names: DynArray[str]

    @gl.public.view
    def sneak(self) -> None:
        self.count = 1

    @gl.public.write
    def put(self, count: int, names: list) -> None:
        self.names = names
        self.count = count

    @gl.public.view
    def get(self) -> list:
        return [self.count, self.names]
"""


def test_a_view_writes_if_the_run_may_and_a_failed_run_leaves_nothing(chain: Chain) -> None:
    contract = chain.deploy(PERMISSION)
    contract.call("put", 7, ["a"])
    refused = contract.calling("sneak", permissions="r")
    assert refused.vm_error() == "exit_code 1"
    assert "6: forbidden" in refused.stderr
    assert contract.calling("sneak").returned() is None
    contract.call("put", 7, ["a"])
    too_large = contract.calling("put", 256, ["b"])
    assert too_large.vm_error() == "exit_code 1"
    assert "256 does not fit in u8" in too_large.stderr
    assert "while setting Counter.count" in too_large.stderr
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
        (
            "pass\nfrom dataclasses import *\n@dataclass\n@allow_storage\n"
            "class A:\n  x: u8 = field(default=1)",
            "A: write @allow_storage above @dataclass",
        ),
        ("x: dict[str, u8]", "cannot be stored; use TreeMap[K, V]"),
        ("x: TreeMap", "TreeMap needs its types, such as TreeMap[str, u256]"),
        ("x: TreeMap[DynArray[u8], u8]", "DynArray[u8] has no order"),
        ("x: Other", "Broken.x: Other cannot be stored; is @allow_storage missing"),
    ],
)
def test_a_type_that_cannot_be_stored_is_named(chain: Chain, declaration: str, reason: str) -> None:
    source = (
        f"from genlayer import *\nclass Other: pass\nclass Broken(gl.Contract):\n    {declaration}"
    )
    failed = chain.deploying(source).last
    assert failed.vm_error() == "exit_code 1"
    assert reason in failed.stderr


GENERIC = """
from genlayer import *
from dataclasses import dataclass, field, replace

@allow_storage
@dataclass(frozen=True)
class Item[T]:
    value: T
    label: str = "none"

@allow_storage
@dataclass
class Row:
    cells: DynArray[u8] = field(default_factory=list)
    best: Item[str] = field(default_factory=lambda: Item("", "zero"))

class Generic(gl.Contract):
    items: DynArray[Item[u8]]
    named: TreeMap[str, Item[str]]
    row: Row

    @gl.public.write
    def put(self) -> list:
        self.items.append(Item(7))
        self.items.append(replace(self.items[0], label="seven"))
        self.named["a"] = Item("x", label="y")
        first = self.row.best.label
        self.row = Row()
        self.row.cells.append(1)
        taken = self.named.pop("a")
        copy = gl.storage.copy_to_memory(self.row)
        self.row.cells.append(2)
        fresh = TreeMap[str, DynArray[u8]]()
        fresh["k"] = [1]
        fresh["k"].append(2)
        return [first, taken.value, copy.cells, self.row.best.label, fresh]

    @gl.public.view
    def get(self) -> list:
        return [self.items, self.row, self.named]
"""


def test_generic_and_frozen_dataclasses(chain: Chain) -> None:
    contract = chain.deploy(GENERIC)
    assert contract.call("put") == ["", "x", [1], "zero", {"k": [1, 2]}]
    items = [{"value": 7, "label": "none"}, {"value": 7, "label": "seven"}]
    row = {"cells": [1, 2], "best": {"value": "", "label": "zero"}}
    assert contract.call("get") == [items, row, {}]


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
        self.numbers = {i * 7919 % count: i for i in range(count)}
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
    long_words = sum(i % 80 > 60 for i in range(count))
    assert chain.node.requests.count("storage_read") < 80 + long_words
