"""An encoder of docs/spec/08-storage-layout.md on plain Python values, which knows no guest code.

A `Memory` holds the bytes of slots and which pages were written. A `Kind` puts a plain value at a
place, reads one back, and copies raw bytes from place to place as a record is copied. Plain values
are what they are in Python; an `Array` and a `DynArray` are a `list`, a `TreeMap` is a `dict`, a
record is a `dict` of its fields, an `Indirection` is the value in it.
"""

from __future__ import annotations

import hashlib
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from genvm_manager.protocol.calldata import Address

PAGE = 32
NONE = 0
"""The link that leads nowhere."""


def child(slot: bytes, offset: int) -> bytes:
    """Return the slot that belongs to the field at `offset`."""
    return hashlib.sha3_256(slot + struct.pack("<I", offset)).digest()


class Memory:
    """The content of slots, and the pages of each that were written."""

    def __init__(self) -> None:
        self.content: dict[bytes, bytearray] = defaultdict(bytearray)
        self.pages: dict[bytes, set[int]] = defaultdict(set)

    def read(self, slot: bytes, offset: int, length: int) -> bytes:
        """Return bytes; what was never written is 0."""
        return bytes(self.content[slot][offset : offset + length]).ljust(length, b"\0")

    def write(self, slot: bytes, offset: int, data: bytes) -> None:
        """Put bytes, and note the pages that they touch."""
        if not data:
            return
        content = self.content[slot]
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset : offset + len(data)] = data
        self.pages[slot].update(range(offset // PAGE, (offset + len(data) - 1) // PAGE + 1))

    def spot(self, slot: bytes, at: int = 0) -> Spot:
        """Return the place at byte `at` of a slot."""
        return Spot(self, slot, at)

    def changes(self) -> dict[tuple[bytes, int], bytes]:
        """Return the content of each page that was written."""
        return {
            (slot, page): self.read(slot, page * PAGE, PAGE)
            for slot, pages in self.pages.items()
            for page in pages
        }


@dataclass(frozen=True)
class Spot:
    """A place in a memory."""

    memory: Memory
    slot: bytes
    at: int

    def __add__(self, offset: int) -> Spot:
        return Spot(self.memory, self.slot, self.at + offset)

    def child(self) -> Spot:
        """Return the start of the slot that belongs to this place."""
        return Spot(self.memory, child(self.slot, self.at), 0)

    def read(self, length: int) -> bytes:
        """Return the bytes from here on."""
        return self.memory.read(self.slot, self.at, length)

    def write(self, data: bytes) -> None:
        """Put bytes here."""
        self.memory.write(self.slot, self.at, data)

    def u32(self) -> int:
        """Return the number of 4 bytes here."""
        return int.from_bytes(self.read(4), "little")

    def put_u32(self, value: int) -> None:
        """Put a number of 4 bytes here."""
        self.write(value.to_bytes(4, "little"))


class Kind:
    """A storage type. `text` is how a contract writes it."""

    text: str
    size: int

    def put(self, spot: Spot, value: Any) -> None:
        """Do what an assignment of `value` writes."""
        raise NotImplementedError

    def get(self, spot: Spot) -> Any:
        """Return the plain value at this place."""
        raise NotImplementedError

    def copy(self, spot: Spot, to: Spot) -> None:
        """Copy what lies at one place to another, as part of a record."""
        to.write(spot.read(self.size))

    def move(self, spot: Spot, to: Spot) -> None:
        """Do `items[to] = items[at]`."""
        self.copy(spot, to)


class Scalar(Kind):
    """A value of one write, made and read by functions."""

    def __init__(
        self, text: str, size: int, pack: Callable[[Any], bytes], unpack: Callable[[bytes], Any]
    ) -> None:
        self.text, self.size, self._pack, self._unpack = text, size, pack, unpack

    def put(self, spot: Spot, value: Any) -> None:
        """Write the value."""
        spot.write(self._pack(value))

    def get(self, spot: Spot) -> Any:
        """Return the value."""
        return self._unpack(spot.read(self.size))

    def move(self, spot: Spot, to: Spot) -> None:
        """Read a value and write it."""
        self.put(to, self.get(spot))


def sized(text: str) -> Scalar:
    """Return the kind of a sized integer such as `i24`."""
    size, signed = int(text[1:]) // 8, text[0] == "i"
    return Scalar(
        text,
        size,
        lambda value: int.to_bytes(value, size, "little", signed=signed),
        lambda raw: int.from_bytes(raw, "little", signed=signed),
    )


BOOL = Scalar("bool", 1, lambda value: bytes([bool(value)]), lambda raw: raw != b"\0")
FLOAT = Scalar(
    "float", 8, lambda value: struct.pack("<d", value), lambda raw: struct.unpack("<d", raw)[0]
)
ADDRESS = Scalar("Address", 20, bytes, Address)


class Moment(Kind):
    """`datetime.datetime`."""

    text, size = "datetime.datetime", 25

    def put(self, spot: Spot, value: datetime) -> None:
        """Write the time; the offset of a zone only where there is one."""
        spot.write(struct.pack("<Q", int(_aware(value).timestamp())))
        (spot + 8).write(struct.pack("<I", value.microsecond))
        (spot + 12).write(bytes([value.tzinfo is not None]))
        zone = value.utcoffset()
        if zone is not None:
            parts = struct.pack("<iii", zone.days, zone.seconds, zone.microseconds)
            (spot + 13).write(parts)

    def get(self, spot: Spot) -> datetime:
        """Return the time."""
        raw = spot.read(self.size)
        seconds, micros, has_zone = struct.unpack("<QI?", raw[:13])
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=micros)
        if not has_zone:
            return moment.replace(tzinfo=None)
        days, seconds, micros = struct.unpack("<iii", raw[13:])
        return moment.astimezone(timezone(timedelta(days, seconds, micros)))

    def move(self, spot: Spot, to: Spot) -> None:
        """Read a time and write it."""
        self.put(to, self.get(spot))


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


class Text(Kind):
    """A value of variable length: u32 in place, content in the child slot."""

    size = 4

    def __init__(
        self, text: str, pack: Callable[[Any], bytes], unpack: Callable[[bytes], Any]
    ) -> None:
        self.text, self._pack, self._unpack = text, pack, unpack

    def put(self, spot: Spot, value: Any) -> None:
        """Write length and content."""
        self._put_raw(spot, self._pack(value))

    def get(self, spot: Spot) -> Any:
        """Return the value."""
        return self._unpack(self._get_raw(spot))

    def copy(self, spot: Spot, to: Spot) -> None:
        """Copy length and content as they are."""
        self._put_raw(to, self._get_raw(spot))

    def move(self, spot: Spot, to: Spot) -> None:
        """Read a value and write it."""
        self.put(to, self.get(spot))

    def _put_raw(self, spot: Spot, content: bytes) -> None:
        spot.put_u32(len(content))
        spot.child().write(content)

    def _get_raw(self, spot: Spot) -> bytes:
        return spot.child().read(spot.u32())


def _big(value: int) -> bytes:
    digits = (abs(value).bit_length() + 7) // 8
    return value.to_bytes(2 + digits, "little", signed=True)


STR = Text("str", str.encode, bytes.decode)
BYTES = Text("bytes", bytes, bytes)
BIGINT = Text("bigint", _big, lambda raw: int.from_bytes(raw, "little", signed=True))


class Row(Kind):
    """`Array[T, Literal[n]]`."""

    def __init__(self, item: Kind, length: int) -> None:
        self.text = f"Array[{item.text}, typing.Literal[{length}]]"
        self.size = item.size * length
        self.item = item
        self.length = length

    def place(self, spot: Spot, index: int) -> Spot:
        """Return where an item lies."""
        return spot + index * self.item.size

    def put(self, spot: Spot, value: list[Any]) -> None:
        """Write item by item."""
        for index, one in enumerate(value):
            self.item.put(self.place(spot, index), one)

    def get(self, spot: Spot) -> list[Any]:
        """Return the items."""
        return [self.item.get(self.place(spot, i)) for i in range(self.length)]

    def copy(self, spot: Spot, to: Spot) -> None:
        """Copy item by item."""
        for index in range(self.length):
            self.item.copy(self.place(spot, index), self.place(to, index))


class Vector(Kind):
    """`DynArray[T]`."""

    size = 4

    def __init__(self, item: Kind) -> None:
        self.text = f"DynArray[{item.text}]"
        self.item = item

    def place(self, spot: Spot, index: int) -> Spot:
        """Return where an item lies."""
        return spot.child() + index * self.item.size

    def put(self, spot: Spot, value: list[Any]) -> None:
        """Write the length, then item by item."""
        spot.put_u32(len(value))
        for index, one in enumerate(value):
            self.item.put(self.place(spot, index), one)

    def get(self, spot: Spot) -> list[Any]:
        """Return the items."""
        return [self.item.get(self.place(spot, i)) for i in range(spot.u32())]

    def copy(self, spot: Spot, to: Spot) -> None:
        """Copy the length, then item by item."""
        length = spot.u32()
        to.put_u32(length)
        for i in range(length):
            self.item.copy(self.place(spot, i), self.place(to, i))

    def shift(self, spot: Spot, moves: Iterator[tuple[int, int]]) -> None:
        """Do `items[to] = items[index]` for each pair of these."""
        for index, to in moves:
            self.item.move(self.place(spot, index), self.place(spot, to))


@dataclass
class Record(Kind):
    """A class marked with `@allow_storage`."""

    text: str
    fields: dict[str, Kind]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(kind.size for kind in self.fields.values())

    def places(self, spot: Spot) -> Iterator[tuple[str, Kind, Spot]]:
        """Yield each field and where it lies."""
        for name, kind in self.fields.items():
            yield name, kind, spot
            spot += kind.size

    def put(self, spot: Spot, value: dict[str, Any]) -> None:
        """Copy a new instance, which was made in a memory of its own."""
        own = Memory().spot(b"")
        for name, kind, where in self.places(own):
            kind.put(where, value[name])
        self.copy(own, spot)

    def get(self, spot: Spot) -> dict[str, Any]:
        """Return the fields."""
        return {name: kind.get(where) for name, kind, where in self.places(spot)}

    def copy(self, spot: Spot, to: Spot) -> None:
        """Copy field by field."""
        for (_, kind, where), (_, _, there) in zip(self.places(spot), self.places(to), strict=True):
            kind.copy(where, there)


class Far(Kind):
    """`Indirection[T]`."""

    size = 1

    def __init__(self, item: Kind) -> None:
        self.text = f"gl.storage.Indirection[{item.text}]"
        self.item = item

    def put(self, spot: Spot, value: Any) -> None:
        """Write the value into the child slot."""
        self.item.put(spot.child(), value)

    def get(self, spot: Spot) -> Any:
        """Return the value."""
        return self.item.get(spot.child())

    def copy(self, spot: Spot, to: Spot) -> None:
        """Copy from child slot to child slot."""
        self.item.copy(spot.child(), to.child())


class Tree(Kind):
    """`TreeMap[K, V]`: the AVL tree of the specification, written down recursively."""

    size = 12

    def __init__(self, key: Kind, value: Kind) -> None:
        self.text = f"TreeMap[{key.text}, {value.text}]"
        self.key, self.value = key, value
        links = {"left": sized("u32"), "right": sized("u32"), "balance": sized("i8")}
        self.node = Record("node", {"key": key, "value": value, **links})
        parts = {"root": sized("u32"), "nodes": Vector(self.node), "free": Vector(sized("u32"))}
        self._parts = Record("map", parts)

    def copy(self, spot: Spot, to: Spot) -> None:
        """Copy root, nodes and free nodes."""
        self._parts.copy(spot, to)

    def get(self, spot: Spot) -> dict[Any, Any]:
        """Return the entries, in order."""
        return dict(self._entries(spot, spot.u32()))

    def _entries(self, spot: Spot, link: int) -> Iterator[tuple[Any, Any]]:
        if link != NONE:
            here = self.node.get((spot + 4).child() + (link - 1) * self.node.size)
            yield from self._entries(spot, here["left"])
            yield here["key"], here["value"]
            yield from self._entries(spot, here["right"])

    def put(self, spot: Spot, value: dict[Any, Any]) -> None:
        """Copy a new map, which was filled in a memory of its own."""
        own = Memory().spot(b"")
        for key, one in value.items():
            self.set(own, key, one)
        self.copy(own, spot)

    def clear(self, spot: Spot) -> None:
        """Write three zeros."""
        spot.write(bytes(12))

    def place(self, spot: Spot, key: Any) -> Spot:
        """Return where the value of a key lies that is there."""
        work = _TreeWork(self, spot)
        return work.part(work.way(key)[-1][0], "value")

    def set(self, spot: Spot, key: Any, value: Any) -> None:
        """Do `m[key] = value`."""
        work = _TreeWork(self, spot)
        work.insert(key, lambda link: work.put(link, "value", value))

    def get_or_insert_default(self, spot: Spot, key: Any) -> None:
        """Do `m.get_or_insert_default(key)`."""
        _TreeWork(self, spot).insert(key, lambda _link: None)

    def delete(self, spot: Spot, key: Any) -> None:
        """Do `del m[key]` for a key that is there."""
        _TreeWork(self, spot).delete(key)


class _TreeWork:
    """One change of a tree: the nodes on the way are found first, then written."""

    def __init__(self, tree: Tree, spot: Spot) -> None:
        self.node = tree.node
        self.root, self.count, self.free_count = spot, spot + 4, spot + 8
        self.nodes, self.free = self.count.child(), self.free_count.child()

    def part(self, link: int, field: str) -> Spot:
        start = self.nodes + (link - 1) * self.node.size
        return next(where for name, _, where in self.node.places(start) if name == field)

    def get(self, link: int, name: str) -> Any:
        return self.node.fields[name].get(self.part(link, name))

    def put(self, link: int, name: str, value: Any) -> None:
        self.node.fields[name].put(self.part(link, name), value)

    def way(self, key: Any) -> list[tuple[int, str]]:
        """Return links and sides from the root on; the last pair is where the search ended."""
        steps: list[tuple[int, str]] = []
        link = self.root.u32()
        while link != NONE:
            here = self.get(link, "key")
            side = "left" if key < here else "right" if here < key else ""
            steps.append((link, side))
            link = self.get(link, side) if side else NONE
        return steps

    def hang(self, way: list[tuple[int, str]], link: int) -> None:
        """Let the last step of `way`, or the root, lead to `link`."""
        if way:
            self.put(*way[-1], link)
        else:
            self.root.put_u32(link)

    # ------------------------------------------------------------------------------ insert

    def insert(self, key: Any, fill: Callable[[int], None]) -> None:
        way = self.way(key)
        if way and way[-1][1] == "":
            fill(way[-1][0])
            return
        new = self._new()
        self.hang(way, new)
        self.put(new, "key", key)
        fill(new)
        for name in ("left", "right", "balance"):
            self.put(new, name, 0)
        while way:
            link, side = way.pop()
            balance = self.get(link, "balance") + (-1 if side == "left" else 1)
            if balance in (-2, 2):
                self.hang(way, self.rotate(link, side))
                return
            self.put(link, "balance", balance)
            if balance == 0:
                return

    def _new(self) -> int:
        free = self.free_count.u32()
        if free:
            self.free_count.put_u32(free - 1)
            return (self.free + 4 * (free - 1)).u32() + 1
        self.count.put_u32(self.count.u32() + 1)
        return self.count.u32()

    # ------------------------------------------------------------------------------ delete

    def delete(self, key: Any) -> None:
        way = self.way(key)
        gone = way.pop()[0]
        self._free(gone)
        left, right = self.get(gone, "left"), self.get(gone, "right")
        if NONE in (left, right):
            self.hang(way, left + right)
            if left + right != NONE:
                self.put(left + right, "balance", 0)
        else:
            way += self._succeed(way, gone)
        self._settle(way)

    def _free(self, link: int) -> None:
        if link == self.count.u32():
            self.count.put_u32(link - 1)
            return
        free = self.free_count.u32()
        self.free_count.put_u32(free + 1)
        (self.free + 4 * free).put_u32(link - 1)

    def _succeed(self, way: list[tuple[int, str]], gone: int) -> list[tuple[int, str]]:
        """Put the least node on the right of `gone` in its place; return the way to its old one."""
        least: int = self.get(gone, "right")
        passed: list[tuple[int, str]] = []
        while self.get(least, "left") != NONE:
            passed.append((least, "left"))
            least = self.get(least, "left")
        self.put(least, "left", self.get(gone, "left"))
        if passed:
            self.put(passed[-1][0], "left", self.get(least, "right"))
            self.put(least, "right", self.get(gone, "right"))
        self.hang(way, least)
        self.put(least, "balance", self.get(gone, "balance"))
        return [(least, "right"), *passed]

    def _settle(self, way: list[tuple[int, str]]) -> None:
        while way:
            link, side = way.pop()
            balance = self.get(link, "balance") + (1 if side == "left" else -1)
            if balance in (-2, 2):
                other = "right" if side == "left" else "left"
                sibling_was = self.get(self.get(link, other), "balance")
                self.hang(way, self.rotate(link, other))
                if sibling_was == 0:
                    return
            else:
                self.put(link, "balance", balance)
                if balance != 0:
                    return

    # ------------------------------------------------------------------------------ rotate

    def rotate(self, link: int, heavy: str) -> int:
        """Rotate `link`, whose `heavy` side is two higher, and return the new top."""
        light = "left" if heavy == "right" else "right"
        sign = 1 if heavy == "right" else -1
        below: int = self.get(link, heavy)
        lean = self.get(below, "balance") * sign
        if lean >= 0:
            inner = self.get(below, light)
            self.put(below, light, link)
            self.put(link, heavy, inner)
            self.put(link, "balance", 0 if lean else sign)
            self.put(below, "balance", 0 if lean else -sign)
            return below
        top: int = self.get(below, light)
        lean = self.get(top, "balance") * sign
        self.put(link, heavy, self.get(top, light))
        self.put(below, light, self.get(top, heavy))
        self.put(top, light, link)
        self.put(top, heavy, below)
        self.put(link, "balance", -sign if lean > 0 else 0)
        self.put(below, "balance", sign if lean < 0 else 0)
        self.put(top, "balance", 0)
        return top
