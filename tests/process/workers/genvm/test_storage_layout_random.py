"""Random operations on random storage types, against plain Python and an independent encoder.

Each case is a contract whose constructor plays a program. What it then reads must be what plain
lists and dicts hold, and the pages that it wrote, and what is in them, must be those that
`tests.support.storage_encoder` writes by docs/spec/08-storage-layout.md.

`GENVM_TEST_STORAGE_CASES=500` plays that many cases, from `GENVM_TEST_STORAGE_SEED` on.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.contract.storage_layout import CODE_SLOT, INSTANCE_FIELD, ROOT_SLOT
from tests.support.python_contracts import Chain, running_chain
from tests.support.storage_encoder import (
    ADDRESS,
    BIGINT,
    BOOL,
    BYTES,
    FLOAT,
    STR,
    Far,
    Kind,
    Memory,
    Moment,
    Record,
    Row,
    Scalar,
    Spot,
    Tree,
    Vector,
    child,
    sized,
)

CASES = int(os.environ.get("GENVM_TEST_STORAGE_CASES", "6"))
FIRST_SEED = int(os.environ.get("GENVM_TEST_STORAGE_SEED", "0"))
STEPS = 150
INSTANCE = child(ROOT_SLOT, INSTANCE_FIELD)

CONTRACT = """
from genlayer import *
import dataclasses
import datetime
import typing

@allow_storage
@dataclasses.dataclass
class Pair[A, B]:
    left: A
    right: B

{classes}

class Played(gl.Contract):
{fields}

    def __init__(self, program: list):
        for path, name, args in program:
            *way, (how, last) = path
            play(walk(self, way), how, make(last), name, [make(arg) for arg in args])

    @gl.public.view
    def read(self) -> str:
        return show(self)

KINDS = [{kinds}]
FIELDS = {names!r}

def make(value):
    if isinstance(value, list):
        return [make(one) for one in value]
    if not isinstance(value, dict):
        return value
    (tag, value), = value.items()
    if tag == "float":
        return float(value)
    if tag == "time":
        seconds, micros, minutes = value
        zone = None if minutes is None else datetime.timezone(datetime.timedelta(minutes=minutes))
        time = datetime.datetime(1970, 1, 1) + datetime.timedelta(0, seconds, micros)
        return time.replace(tzinfo=zone)
    kind, parts = value
    if tag == "record":
        return gl.storage.inmem_allocate(KINDS[kind], *[make(one) for one in parts])
    made = gl.storage.inmem_allocate(KINDS[kind])
    for key, one in parts:
        made[make(key)] = make(one)
    return made

def walk(at, way):
    for how, last in way:
        at = get(at, how, make(last))
    return at

def get(at, how, last):
    return getattr(at, last) if how == "." else at.get() if how == "*" else at[last]

def put(at, how, last, value):
    if how == ".":
        setattr(at, last, value)
    elif how == "*":
        at.set(value)
    else:
        at[last] = value

def play(parent, how, last, name, args):
    if name == "set":
        put(parent, how, last, args[0])
        return
    if name == "copy":
        put(parent, how, last, getattr(parent, args[0]))
        return
    if name == "bad":
        try:
            put(parent, how, last, args[0])
            raise AssertionError("taken")
        except OverflowError:
            return
    at = get(parent, how, last)
    match name:
        case "append": at.append(*args)
        case "bad append":
            try:
                at.append(*args)
                raise AssertionError("taken")
            except OverflowError:
                pass
        case "new": at.append_new_get()
        case "insert": at.insert(*args)
        case "delete": del at[args[0]]
        case "cut": del at[args[0]:args[1]:args[2]]
        case "splice": at[args[0]:args[1]] = args[2]
        case "extend": at.extend(*args)
        case "add": at += args[0]; put(parent, how, last, at)
        case "reverse": at.reverse()
        case "pop": at.pop()
        case "clear": at.clear()
        case "default": at.get_or_insert_default(*args)
        case "popitem": at.popitem()
        case "set entry": at[args[0]] = args[1]

def show(value):
    if isinstance(value, (DynArray, Array)):
        return "[" + ",".join(show(one) for one in value) + "]"
    if isinstance(value, TreeMap):
        return "{{" + ",".join(show(k) + ":" + show(v) for k, v in value.items()) + "}}"
    if isinstance(value, Played):
        return "\\n".join(name + "=" + show(getattr(value, name)) for name in FIELDS)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return "(" + ",".join(name + "=" + show(getattr(value, name)) for name in names) + ")"
    if isinstance(value, gl.storage.Indirection):
        return show(value.get())
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return value.as_hex if isinstance(value, Address) else repr(value)
"""


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + CASES))
def test_a_random_program_leaves_what_the_specification_says(chain: Chain, seed: int) -> None:
    case = Case(random.Random(seed))
    program = [case.step() for _ in range(STEPS)]
    contract = chain.deploy(case.source(), program)
    written = {
        (key[:32], int.from_bytes(key[32:], "big")): page
        for key, page in contract.last.result.storage_changes
        if key[:32] not in SYSTEM_SLOTS
    }
    assert written == case.memory.changes(), program
    assert contract.call("read") == case.shown(), program


SYSTEM_SLOTS = {CODE_SLOT, child(ROOT_SLOT, 2), child(ROOT_SLOT, 3)}
"""Code, locked slots, upgraders."""

INTEGERS = [sized(text) for text in ("u8", "u24", "u256", "i16", "i72")]
SCALARS: list[Kind] = [*INTEGERS, BOOL, FLOAT, ADDRESS, STR, BYTES, BIGINT, Moment()]
KEYS: list[Kind] = [*INTEGERS, STR, BYTES, BIGINT, ADDRESS]


@dataclass
class Place:
    """One place of the storage: how the contract gets there, where it is, and the plain value."""

    path: list[list[Any]]
    kind: Kind
    spot: Spot
    parent: Any
    last: Any

    @property
    def plain(self) -> Any:
        """The plain value."""
        return self.parent[self.last]

    @plain.setter
    def plain(self, value: Any) -> None:
        self.parent[self.last] = value


class Case:
    """A contract, the program that it plays, and what has to come out."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.memory = Memory()
        self.spot = self.memory.spot(INSTANCE)
        self.records: list[Record] = []
        self.kinds: list[Kind] = []
        fields = {}
        for number in range(dice.randint(2, 4)):
            kind = self.random_kind(3)
            if dice.random() < 0.15:
                kind = Far(kind)
            fields[f"f{number}"] = fields[f"g{number}"] = kind
        self.root = Record("Played", fields)
        self.plain = self.root.get(self.spot)

    # -------------------------------------------------------------------- types and values

    def random_kind(self, depth: int) -> Kind:
        """Return a type of which values are at most `depth` levels deep."""
        choice = self.dice.randrange(10) if depth else 0
        if choice < 3:
            return self.dice.choice(SCALARS)
        item = self.random_kind(depth - 1)
        if choice < 5:
            made: Kind = Vector(item)
        elif choice < 8:
            made = Tree(self.dice.choice(KEYS), item)
        elif choice < 9:
            made = Row(item, self.dice.randint(1, 3))
        else:
            made = self._random_record(depth)
        self.kinds.append(made)
        return made

    def _random_record(self, depth: int) -> Record:
        count = self.dice.randint(1, 4)
        kinds = [self.random_kind(depth - 1) for _ in range(count)]
        if count == 2:
            return Record(f"Pair[{kinds[0].text}, {kinds[1].text}]", _named(kinds, "left right"))
        made = Record(f"R{len(self.records)}", _named(kinds, "a b c d"))
        self.records.append(made)
        return made

    def random_value(self, kind: Kind) -> Any:
        """Return a plain value of a type."""
        dice = self.dice
        if isinstance(kind, Vector):
            return [self.random_value(kind.item) for _ in range(dice.randrange(4))]
        if isinstance(kind, Row):
            return [self.random_value(kind.item) for _ in range(kind.length)]
        if isinstance(kind, Tree):
            keys = {self.random_value(kind.key) for _ in range(dice.randrange(5))}
            return {key: self.random_value(kind.value) for key in sorted(keys)}
        if isinstance(kind, Record):
            return {name: self.random_value(part) for name, part in kind.fields.items()}
        return self._random_scalar(kind)

    def _random_scalar(self, kind: Kind) -> Any:
        dice = self.dice
        if kind is STR:
            return dice.choice(["", "a", "é", "x" * 40]) + dice.choice("abcdefgh")
        if kind is BYTES:
            return dice.randbytes(dice.choice([0, 1, 2, 31, 32, 33, 70]))
        if kind is BIGINT:
            return dice.choice([0, 1, -1, 255, -256, 2**300, dice.randrange(-(2**70), 2**70)])
        if kind is BOOL:
            return dice.random() < 0.5
        if kind is FLOAT:
            return dice.choice([0.0, -0.0, 1.5, -1e300, float("inf"), dice.random()])
        if kind is ADDRESS:
            return Address(bytes(19) + bytes([dice.randrange(12)]))
        if isinstance(kind, Moment):
            zone = dice.choice([None, UTC, timezone(timedelta(hours=-3, minutes=-30))])
            return datetime.fromtimestamp(dice.randrange(2**31), UTC).replace(tzinfo=zone)
        low, high = _range(kind)
        return dice.choice([low, high, 0, dice.randint(low, high), dice.randint(0, 9)])

    def tagged(self, kind: Kind, value: Any) -> Any:
        """Return a plain value as the program holds it."""
        if kind is FLOAT:
            return {"float": repr(value)}
        if isinstance(kind, Moment):
            since = value.replace(tzinfo=None) - datetime(1970, 1, 1)
            zone = value.utcoffset()
            minutes = None if zone is None else zone // timedelta(minutes=1)
            return {"time": [since // timedelta(seconds=1), since.microseconds, minutes]}
        if isinstance(kind, (Vector, Row)):
            return [self.tagged(kind.item, one) for one in value]
        if isinstance(kind, Record):
            parts = [self.tagged(part, value[name]) for name, part in kind.fields.items()]
            return {"record": [self.kinds.index(kind), parts]}
        if isinstance(kind, Tree):
            entries = [
                [self.tagged(kind.key, key), self.tagged(kind.value, one)]
                for key, one in value.items()
            ]
            return {"map": [self.kinds.index(kind), entries]}
        return value

    # ------------------------------------------------------------------------------- steps

    def step(self) -> list[Any]:
        """Choose an operation, do it here, and return it for the program."""
        if self.dice.random() < 0.05:
            place = self._random_field()
            name, *args = self._copied(place)
        else:
            place = self._random_place()
            name, *args = self._done(place)
        return [place.path, name, args]

    def _random_field(self) -> Place:
        name, kind, spot = self.dice.choice(list(self.root.places(self.spot)))
        return Place([[".", name]], kind, spot, self.plain, name)

    def _random_place(self) -> Place:
        place = self._random_field()
        while isinstance(place.kind, Far) or self.dice.random() < 0.7:
            below = self._below(place)
            if below is None:
                break
            place = below
        return place

    def _below(self, place: Place) -> Place | None:
        """Return a random place inside of `place`; None where there is none."""
        kind, spot, path, dice = place.kind, place.spot, place.path, self.dice
        if isinstance(kind, Far):
            inner = [*path, ["*", None]]
            return Place(inner, kind.item, spot.child(), place.parent, place.last)
        if isinstance(kind, Record):
            name, part, where = dice.choice(list(kind.places(spot)))
            return Place([*path, [".", name]], part, where, place.plain, name)
        if not isinstance(kind, (Vector, Row, Tree)) or not place.plain:
            return None
        if isinstance(kind, Tree):
            key = dice.choice(list(place.plain))
            inner = [*path, ["[", self.tagged(kind.key, key)]]
            return Place(inner, kind.value, kind.place(spot, key), place.plain, key)
        index = dice.randrange(len(place.plain))
        inner = [*path, ["[", index]]
        return Place(inner, kind.item, kind.place(spot, index), place.plain, index)

    def _done(self, place: Place) -> list[Any]:
        """Do something at `place`; return what it is called, and its arguments."""
        kind = place.kind
        if isinstance(kind, Vector) and self.dice.random() < 0.85:
            return self._vector_step(place, kind)
        if isinstance(kind, Tree) and self.dice.random() < 0.95:
            return self._tree_step(place, kind)
        if kind in INTEGERS and self.dice.random() < 0.1:
            return ["bad", _range(kind)[1] + 1]
        return self._assigned(place)

    def _assigned(self, place: Place) -> list[Any]:
        value = self.random_value(place.kind)
        place.kind.put(place.spot, value)
        place.plain = value
        return ["set", self.tagged(place.kind, value)]

    def _copied(self, place: Place) -> list[Any]:
        """Assign the other field of the same type, or the field itself."""
        name = place.last
        other = self.dice.choice([name, ("g" if name[0] == "f" else "f") + name[1:]])
        source = next(spot for field, _, spot in self.root.places(self.spot) if field == other)
        if isinstance(place.kind, (Scalar, Moment)) or place.kind in SCALARS:
            place.kind.put(place.spot, place.kind.get(source))
        else:
            place.kind.copy(source, place.spot)
        place.plain = place.kind.get(place.spot)
        return ["copy", other]

    # ----------------------------------------------------------------------------- vectors

    def _vector_step(self, place: Place, kind: Vector) -> list[Any]:
        choices: list[Callable[[Place, Vector], list[Any] | None]] = [
            *([self._append] * 4 if len(place.plain) < 12 else [self._cut]),
            *(self._insert, self._delete, self._cut, self._splice, self._extend, self._new),
            *(self._pop, self._bad_append, self._reverse),
        ]
        if self.dice.random() < 0.02:
            return self._clear(place, kind)
        while (done := self.dice.choice(choices)(place, kind)) is None:
            pass
        return done

    def _length(self, place: Place, length: int) -> None:
        place.spot.put_u32(length)

    def _put_item(self, place: Place, kind: Vector, index: int, value: Any) -> None:
        kind.item.put(kind.place(place.spot, index), value)

    def _append(self, place: Place, kind: Vector) -> list[Any]:
        value = self.random_value(kind.item)
        self._length(place, len(place.plain) + 1)
        self._put_item(place, kind, len(place.plain), value)
        place.plain.append(value)
        return ["append", self.tagged(kind.item, value)]

    def _extend(self, place: Place, kind: Vector) -> list[Any]:
        values = [self.random_value(kind.item) for _ in range(self.dice.randrange(3))]
        for value in values:
            self._length(place, len(place.plain) + 1)
            self._put_item(place, kind, len(place.plain), value)
            place.plain.append(value)
        name = self.dice.choice(["extend", "add"])
        if name == "add":
            kind.copy(place.spot, place.spot)
        return [name, [self.tagged(kind.item, value) for value in values]]

    def _new(self, place: Place, kind: Vector) -> list[Any]:
        self._length(place, len(place.plain) + 1)
        there = kind.place(place.spot, len(place.plain))
        place.plain.append(kind.item.get(there))
        return ["new"]

    def _bad_append(self, place: Place, kind: Vector) -> list[Any] | None:
        if kind.item not in INTEGERS:
            return None
        self._new(place, kind)
        return ["bad append", _range(kind.item)[0] - 1]

    def _insert(self, place: Place, kind: Vector) -> list[Any] | None:
        length = len(place.plain)
        if not length:
            return None
        index, value = self.dice.randrange(-length, length), self.random_value(kind.item)
        where = index % length
        self._length(place, length + 1)
        moves = ((i - 1, i) for i in range(length, where, -1))
        kind.shift(place.spot, moves)
        self._put_item(place, kind, where, value)
        place.plain.insert(where, value)
        return ["insert", index, self.tagged(kind.item, value)]

    def _delete(self, place: Place, kind: Vector) -> list[Any] | None:
        length = len(place.plain)
        if not length:
            return None
        index = self.dice.randrange(-length, length)
        self._remove(place, kind, {index % length})
        return ["delete", index]

    def _remove(self, place: Place, kind: Vector, gone: set[int]) -> None:
        stay = [i for i in range(len(place.plain)) if i not in gone]
        moves = ((i, to) for to, i in enumerate(stay) if i != to)
        kind.shift(place.spot, moves)
        self._length(place, len(stay))
        place.plain[:] = [place.plain[i] for i in stay]

    def _cut(self, place: Place, kind: Vector) -> list[Any]:
        ends = [self.dice.choice([None, *range(-3, 8)]) for _ in range(2)]
        step = self.dice.choice([None, 1, 2, -1, -2])
        gone = set(range(*slice(ends[0], ends[1], step).indices(len(place.plain))))
        if gone:
            self._remove(place, kind, gone)
        return ["cut", *ends, step]

    def _splice(self, place: Place, kind: Vector) -> list[Any]:
        length = len(place.plain)
        start = self.dice.randint(0, length)
        stop = self.dice.randint(start, min(length, start + 4))
        values = [self.random_value(kind.item) for _ in range(self.dice.randrange(5))]
        common, more = stop - start, len(values) - (stop - start)
        for index, value in enumerate(values[:common], start):
            self._put_item(place, kind, index, value)
        if more < 0:
            place.plain[start : start + len(values)] = values
            self._remove(place, kind, set(range(start + len(values), stop)))
        else:
            place.plain[start:stop] = values
            moves = ((i, i + more) for i in range(length - 1, stop - 1, -1))
            kind.shift(place.spot, moves)
            for index, value in enumerate(values[common:], stop):
                self._put_item(place, kind, index, value)
        if more > 0:
            self._length(place, length + more)
        return ["splice", start, stop, [self.tagged(kind.item, value) for value in values]]

    def _reverse(self, place: Place, kind: Vector) -> list[Any] | None:
        if kind.item not in SCALARS:
            return None
        length = len(place.plain)
        for low in range(length // 2):
            high = length - low - 1
            both = [kind.place(place.spot, i) for i in (low, high)]
            values = [kind.item.get(there) for there in both]
            for there, value in zip(both, reversed(values), strict=True):
                kind.item.put(there, value)
        place.plain.reverse()
        return ["reverse"]

    def _pop(self, place: Place, _kind: Vector) -> list[Any] | None:
        if not place.plain:
            return None
        self._length(place, len(place.plain) - 1)
        place.plain.pop()
        return ["pop"]

    def _clear(self, place: Place, _kind: Vector) -> list[Any]:
        self._length(place, 0)
        place.plain.clear()
        return ["clear"]

    # ------------------------------------------------------------------------------- trees

    def _tree_step(self, place: Place, kind: Tree) -> list[Any]:
        """Change one entry of a map; how many there are wanders up and down."""
        spot, plain = place.spot, place.plain
        chance = self.dice.random()
        if chance < 0.02:
            kind.clear(spot)
            plain.clear()
            return ["clear"]
        if plain and chance < 0.4:
            return self._tree_delete(place, kind)
        key = self.random_value(kind.key)
        if chance < 0.55:
            kind.get_or_insert_default(spot, key)
            plain[key] = kind.value.get(kind.place(spot, key))
            self._order(plain)
            return ["default", self.tagged(kind.key, key)]
        value = self.random_value(kind.value)
        kind.set(spot, key, value)
        plain[key] = value
        self._order(plain)
        return ["set entry", self.tagged(kind.key, key), self.tagged(kind.value, value)]

    def _tree_delete(self, place: Place, kind: Tree) -> list[Any]:
        first = self.dice.random() < 0.2
        key = min(place.plain) if first else self.dice.choice(list(place.plain))
        kind.delete(place.spot, key)
        del place.plain[key]
        return ["popitem"] if first else ["delete", self.tagged(kind.key, key)]

    @staticmethod
    def _order(plain: dict[Any, Any]) -> None:
        entries = sorted(plain.items(), key=lambda entry: entry[0])
        plain.clear()
        plain.update(entries)

    # ------------------------------------------------------------------------- the contract

    def source(self) -> str:
        """Return the source of the contract."""
        return CONTRACT.format(
            classes="\n".join(_class(record) for record in self.records),
            fields="\n".join(f"    {name}: {kind.text}" for name, kind in self.root.fields.items()),
            kinds=", ".join(kind.text for kind in self.kinds),
            names=list(self.root.fields),
        )

    def shown(self) -> str:
        """Return what the contract has to say of its fields."""
        fields = self.root.fields.items()
        return "\n".join(f"{name}={_shown(kind, self.plain[name])}" for name, kind in fields)


def _named(kinds: list[Kind], names: str) -> dict[str, Kind]:
    return dict(zip(names.split(), kinds, strict=False))


def _range(kind: Kind) -> tuple[int, int]:
    """Return the least and the greatest number of a sized integer."""
    bits = 8 * kind.size
    if kind.text[0] == "u":
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def _class(record: Record) -> str:
    lines = [f"    {name}: {kind.text}" for name, kind in record.fields.items()]
    return "\n".join(
        ["@allow_storage", "@dataclasses.dataclass", f"class {record.text}:", *lines, ""]
    )


def _shown(kind: Kind, value: Any) -> str:
    if isinstance(kind, (Vector, Row)):
        return f"[{','.join(_shown(kind.item, one) for one in value)}]"
    if isinstance(kind, Tree):
        entries = (f"{_shown(kind.key, k)}:{_shown(kind.value, v)}" for k, v in value.items())
        return f"{{{','.join(entries)}}}"
    if isinstance(kind, Record):
        parts = (f"{name}={_shown(part, value[name])}" for name, part in kind.fields.items())
        return f"({','.join(parts)})"
    if isinstance(kind, Far):
        return _shown(kind.item, value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value.as_hex if isinstance(value, Address) else repr(value)
