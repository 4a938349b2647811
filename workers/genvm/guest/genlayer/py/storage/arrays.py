"""`DynArray[T]` and `Array[T, Literal[n]]`: lists in storage.

An `Array` is its `n` items in a row, in place. A `DynArray` has its length in place (u32), and its
items in a row in the child slot. Items that keep nothing elsewhere (`flat` types) are moved as
bytes when one is inserted or removed before them; others are copied one by one.
"""

from __future__ import annotations

from .layout import Alias, stored_type
from .scalars import StoredType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .slots import Slot


class Items:
    """What both kinds of list can do: all that leaves the length as it is."""

    __slots__ = ("_home", "_item", "_items", "_offset", "_start")

    def lies_at(self, home: Slot, offset: int) -> bool:
        """Return whether this is the place of the list."""
        return self._home is home and self._offset == offset

    def __iter__(self) -> Iterator[Any]:
        index = 0
        while index < len(self):
            yield self._read(index)
            index += 1

    def __reversed__(self) -> Iterator[Any]:
        for index in range(len(self) - 1, -1, -1):
            yield self._read(index)

    def __contains__(self, value: Any) -> bool:
        return any(item == value for item in self)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._read(i) for i in range(*index.indices(len(self)))]
        return self._read(self._position(index))

    def __setitem__(self, index: int, value: Any) -> None:
        if isinstance(index, slice):
            raise TypeError("a stored list takes no slices: set its items one by one")
        self._write(self._position(index), value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Items, list, tuple)):
            return NotImplemented
        return len(self) == len(other) and list(self) == list(other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Return the first position of `value`, or `ValueError`."""
        for i in range(*slice(start, stop).indices(len(self))):
            if self._read(i) == value:
                return i
        raise ValueError(f"{value!r} is not in the list")

    def count(self, value: Any) -> int:
        """Return how many items equal `value`."""
        return sum(item == value for item in self)

    def reverse(self) -> None:
        """Turn the order of the items around."""
        self._rewrite(self._detached(0, len(self))[::-1])

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        """Sort the items, as `list.sort` does."""
        self._rewrite(sorted(self._detached(0, len(self)), key=key, reverse=reverse))

    def _at(self, index: int) -> int:
        return self._start + index * self._item.size

    def _read(self, index: int) -> Any:
        return self._item.read(self._items, self._start + index * self._item.size)

    def _write(self, index: int, value: Any) -> None:
        self._item.write(self._items, self._start + index * self._item.size, value)

    def _position(self, index: int) -> int:
        length = len(self)
        position = index + length if index < 0 else index
        if not 0 <= position < length:
            raise IndexError(f"index {index} is out of range, the length is {length}")
        return position

    def _detached(self, start: int, stop: int) -> list[Any]:
        """Return the items from `start` to `stop`, as they are now, apart from their places."""
        return [self._item.detached(self._read(i)) for i in range(start, stop)]

    def _rewrite(self, values: list[Any], start: int = 0) -> None:
        """Put `values` at `start` and on, in one go."""
        if values:
            item, first, size = self._item, self._at(start), self._item.size
            rows = (item.encode(self._items, first + i * size, v) for i, v in enumerate(values))
            self._items.write(first, b"".join(rows))

    def _snapshot(self, values: Iterable[Any]) -> list[Any]:
        """Return `values` as a list that writing to this one cannot change."""
        if isinstance(values, Items):
            return values._detached(0, len(values))
        return list(values)


class DynArray(Items):
    """A list of any length whose items lie in storage. It does all that a `list` does.

    `DynArray[T]` annotates a field; called, it makes an empty list in memory.
    """

    EXAMPLE = "DynArray[u256]"

    __slots__ = ()

    def __new__(cls, values: Any = ()) -> Any:
        """Return a plain `list`: a field that it is assigned to gives its items their type."""
        return list(values)

    def __class_getitem__(cls, item: Any) -> Alias:
        if isinstance(item, tuple):
            raise TypeError(f"DynArray has one item type, such as {cls.EXAMPLE}")
        return Alias(cls, (item,))

    @staticmethod
    def stored_as(item: Any) -> StoredType:
        """Return the stored type of `DynArray[item]`."""
        return DynArrayType(stored_type(item))

    def detached(self) -> DynArray:
        """Return a copy in memory."""
        return DynArrayType(self._item).detached(self)

    def __len__(self) -> int:
        return int.from_bytes(self._home.read(self._offset, 4), "little")

    def append(self, value: Any) -> None:
        """Add `value` at the end."""
        length = len(self)
        self._write_over(length, value)
        self._set_length(length + 1)

    def append_new_get(self) -> Any:
        """Add a zero of the item type at the end, and return it."""
        length = len(self)
        self._items.write(self._at(length), bytes(self._item.size))
        self._set_length(length + 1)
        return self._read(length)

    def extend(self, values: Iterable[Any]) -> None:
        """Add all `values` at the end."""
        values, length = self._snapshot(values), len(self)
        self._rewrite(values, length)
        self._set_length(length + len(values))

    def __iadd__(self, values: Iterable[Any]) -> DynArray:
        self.extend(values)
        return self

    def insert(self, index: int, value: Any) -> None:
        """Put `value` before position `index`."""
        length = len(self)
        start = max(index + length, 0) if index < 0 else min(index, length)
        self._move(start, start + 1, length - start)
        self._write_over(start, value)
        self._set_length(length + 1)

    def pop(self, index: int = -1) -> Any:
        """Remove the item at `index` and return it."""
        position = self._position(index)
        value = self._item.detached(self._read(position))
        self._cut(position, position + 1)
        return value

    def remove(self, value: Any) -> None:
        """Remove the first item that equals `value`, or `ValueError`."""
        del self[self.index(value)]

    def __delitem__(self, index: Any) -> None:
        if not isinstance(index, slice):
            position = self._position(index)
            self._cut(position, position + 1)
            return
        chosen = range(*index.indices(len(self)))
        if chosen and abs(chosen.step) == 1:
            self._cut(min(chosen), max(chosen) + 1)
        elif chosen:
            for position in sorted(chosen, reverse=True):
                self._cut(position, position + 1)

    def truncate(self, length: int = 0) -> None:
        """Keep the first `length` items only."""
        if not 0 <= length <= len(self):
            raise ValueError(f"cannot truncate {len(self)} items to {length}")
        self._set_length(length)

    def clear(self) -> None:
        """Remove all items."""
        self._set_length(0)

    def assign(self, values: Iterable[Any]) -> None:
        """Replace all items by `values`."""
        values = self._snapshot(values)
        self._rewrite(values)
        self._set_length(len(values))

    def _set_length(self, length: int) -> None:
        self._home.write(self._offset, length.to_bytes(4, "little"))

    def _write_over(self, index: int, value: Any) -> None:
        at = self._at(index)
        self._items.write(at, self._item.encode(self._items, at, value))

    def _cut(self, start: int, stop: int) -> None:
        length = len(self)
        self._move(stop, start, length - stop)
        self._set_length(length - (stop - start))

    def _move(self, source: int, target: int, count: int) -> None:
        if count <= 0:
            return
        if self._item.flat:
            rows = self._items.read(self._at(source), count * self._item.size)
            self._items.write(self._at(target), rows)
        else:
            self._rewrite(self._detached(source, source + count), target)


class Array(Items):
    """A list of fixed length, `Array[T, Literal[n]]`, whose items start as zeros."""

    EXAMPLE = "Array[u8, Literal[32]]"

    __slots__ = ("_length",)

    def __class_getitem__(cls, types: Any) -> Alias:
        if not isinstance(types, tuple) or len(types) != 2:
            raise TypeError(f"Array has an item type and a length, such as {cls.EXAMPLE}")
        return Alias(cls, types)

    @staticmethod
    def stored_as(item: Any, length: Any) -> StoredType:
        """Return the stored type of `Array[item, Literal[length]]`."""
        values = (length,) if isinstance(length, int) else getattr(length, "__args__", ())
        if len(values) != 1 or type(values[0]) is not int or values[0] < 0:
            raise TypeError(f"the length of an Array is a number, as in {Array.EXAMPLE}")
        return ArrayType(stored_type(item), values[0])

    def detached(self) -> Array:
        """Return a copy in memory."""
        return ArrayType(self._item, self._length).detached(self)

    def __len__(self) -> int:
        return self._length

    def assign(self, values: Iterable[Any]) -> None:
        """Replace all items by as many `values`."""
        kind = ArrayType(self._item, self._length)
        kind.write(self._home, self._offset, values)


class DynArrayType(StoredType):
    """How a `DynArray` lies in storage."""

    size = 4
    flat = False
    view = True

    def __init__(self, item: StoredType) -> None:
        self.name = f"DynArray[{item.name}]"
        self._item = item

    def read(self, slot: Slot, offset: int) -> DynArray:
        """Return the list at this place, as a view."""
        view = object.__new__(DynArray)
        view._home, view._offset = slot, offset
        view._items, view._start = slot.child(offset), 0
        view._item = self._item
        return view

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Replace the list at this place by `value`, another list."""
        _check_list(self, value)
        if not (isinstance(value, Items) and value.lies_at(slot, offset)):
            self.read(slot, offset).assign(value)

    def encode(self, slot: Slot, offset: int, value: Any) -> bytes:
        """Write `value`, and return the length that lies in place."""
        self.write(slot, offset, value)
        return slot.read(offset, self.size)


class ArrayType(StoredType):
    """How an `Array` lies in storage."""

    view = True

    def __init__(self, item: StoredType, length: int) -> None:
        self.name = f"Array[{item.name}, {length}]"
        self.size = item.size * length
        self.flat = item.flat
        self._item = item
        self._length = length

    def read(self, slot: Slot, offset: int) -> Array:
        """Return the list at this place, as a view."""
        view = object.__new__(Array)
        view._home, view._offset = slot, offset
        view._items, view._start = slot, offset
        view._item, view._length = self._item, self._length
        return view

    def encode(self, slot: Slot, offset: int, value: Any) -> bytes:
        """Return the items of `value` as they lie in place."""
        _check_list(self, value)
        values = value._detached(0, len(value)) if isinstance(value, Items) else list(value)
        if len(values) != self._length:
            raise ValueError(f"{self.name} has {self._length} items, got {len(values)}")
        item = self._item
        places = range(offset, offset + self.size, item.size)
        return b"".join(item.encode(slot, at, v) for at, v in zip(places, values, strict=True))


def _check_list(expected: StoredType, value: Any) -> None:
    if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__iter__"):
        kind = type(value).__name__
        raise TypeError(f"{expected.name} expected, got {kind}; assign a list")
