"""`DynArray[T]` and `Array[T, Literal[n]]`: lists in storage.

An `Array` is its `n` items in a row, in place. A `DynArray` has its length in place (u32), and its
items in a row in the child slot. What each operation writes, and in which order, is told in
docs/spec/08-storage-layout.md#dynarray-writes.
"""

from __future__ import annotations

from _collections_abc import MutableSequence, Sequence
from _operator import index as as_index

from .hints import literal_length
from .layout import stored_type
from .stored_type import StoredType, interned, shown, view

__all__ = ("Array", "DynArray")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .slots import Slot


class DynArray(MutableSequence):
    """A list of any length whose items lie in storage. `DynArray[T]` annotates a field."""

    EXAMPLE = "DynArray[u256]"

    __slots__ = ("_item", "_items", "_offset", "_slot")

    def __init__(self, *_: Any) -> None:
        raise TypeError(
            "a DynArray is made by storage: declare a field DynArray[T], or use "
            "gl.storage.inmem_allocate(DynArray[T])"
        )

    @staticmethod
    def stored_as(item: Any) -> StoredType:
        """Return the stored type of `DynArray[item]`."""
        return interned(DynArrayType, stored_type(item))

    def __len__(self) -> int:
        return int.from_bytes(self._slot.read(self._offset, 4), "little")

    def __iter__(self) -> Iterator[Any]:
        for position in range(len(self)):
            yield self[position]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._read(i) for i in range(*index.indices(len(self)))]
        return self._read(_position(index, len(self)))

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            from .slices import set_slice

            set_slice(self, index, list(value))
        else:
            self._write(_position(index, len(self)), value)

    def __delitem__(self, index: Any) -> None:
        length = len(self)
        if isinstance(index, slice):
            chosen = range(*index.indices(length))
        else:
            position = _position(index, length)
            chosen = range(position, position + 1)
        if chosen:
            from .slices import delete

            delete(self, chosen if chosen.step > 0 else chosen[::-1])

    def __repr__(self) -> str:
        return f"[{','.join(map(repr, self))}]"

    def append(self, value: Any) -> None:
        """Add `value` at the end."""
        length = len(self)
        self._set_length(length + 1)
        self._write(length, value)

    def append_new_get(self) -> Any:
        """Make the list longer by one, and return the last item: what the bytes there stand for."""
        length = len(self)
        self._set_length(length + 1)
        return self._read(length)

    def insert(self, index: int, value: Any) -> None:
        """Put `value` before the item at `index`, which has to be there."""
        length = len(self)
        position = _position(index, length)
        self._set_length(length + 1)
        self._move(position, position + 1, length - position)
        self._write(position, value)

    def pop(self) -> None:
        """Remove the last item, and return nothing."""
        length = len(self)
        if not length:
            raise Exception("there is nothing to pop from an empty DynArray")
        self._set_length(length - 1)

    def clear(self) -> None:
        """Remove all items."""
        self._set_length(0)

    def _read(self, position: int) -> Any:
        return self._item.read(self._items, position * self._item.size)

    def _write(self, position: int, value: Any) -> None:
        self._item.write(self._items, position * self._item.size, value)

    def _set_length(self, length: int) -> None:
        self._slot.write(self._offset, length.to_bytes(4, "little"))

    def _move(self, source: int, target: int, count: int) -> None:
        """Copy `count` items to another place, one by one, so that none is lost on the way."""
        item, items, size = self._item, self._items, self._item.size
        if item.is_movable:
            if count:
                items.write(target * size, items.read(source * size, count * size))
            return
        order = range(count) if target < source else range(count - 1, -1, -1)
        for i in order:
            self._write(target + i, self._read(source + i))

    def __reduce__(self) -> tuple[Any, ...]:
        return view, (stored_type_of(self), self._slot, self._offset)


class Array(Sequence):
    """A list of fixed length in storage. `Array[T, Literal[n]]` annotates a field."""

    EXAMPLE = "Array[u8, Literal[32]]"

    __slots__ = ("_item", "_length", "_offset", "_slot")

    def __init__(self, *_: Any) -> None:
        raise TypeError(f"an Array is made by storage: declare a field such as {self.EXAMPLE}")

    @staticmethod
    def stored_as(item: Any, length: Any) -> StoredType:
        """Return the stored type of `Array[item, Literal[length]]`."""
        return interned(ArrayType, stored_type(item), literal_length(length, Array.EXAMPLE))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        for position in range(self._length):
            yield self._read(position)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._length)
            if step != 1:
                raise KeyError(f"a slice of an Array has step 1, not {step}")
            part = interned(ArrayType, self._item, max(stop - start, 0))
            return part.read(self._slot, self._offset + start * self._item.size)
        return self._read(_position(index, self._length))

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            raise TypeError("items of an Array are set one by one, or all at once as the field")
        self._write(_position(index, self._length), value)

    def _read(self, position: int) -> Any:
        return self._item.read(self._slot, self._offset + position * self._item.size)

    def _write(self, position: int, value: Any) -> None:
        self._item.write(self._slot, self._offset + position * self._item.size, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return view, (stored_type_of(self), self._slot, self._offset)


class DynArrayType(StoredType):
    """How a `DynArray` lies in storage."""

    size = 4

    def __init__(self, item: StoredType) -> None:
        self.name = f"DynArray[{item.name}]"
        self.steps = (self,)
        self._item = item

    def read(self, slot: Slot, offset: int) -> DynArray:
        """Return the list at this place, as a view."""
        array = object.__new__(DynArray)
        array._slot, array._offset, array._items = slot, offset, slot.indirect(offset)
        array._item = self._item
        return array

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Put the items of any sequence here. Raises `TypeError` for anything else."""
        if isinstance(value, DynArray):
            if value._item is not self._item:
                raise TypeError(f"{self.name} expected, got DynArray[{value._item.name}]")
            self.copy(value._slot, value._offset, slot, offset)
            return
        length = len(value)
        slot.write(offset, length.to_bytes(4, "little"))
        item, items = self._item, slot.indirect(offset)
        for i in range(length):
            item.write(items, i * item.size, value[i])

    def copy(self, source: Slot, start: int, target: Slot, to: int) -> None:
        """Copy the length, then the items: in one write where they are plain bytes."""
        raw = source.read(start, 4)
        target.write(to, raw)
        length, item, size = int.from_bytes(raw, "little"), self._item, self._item.size
        if not length:
            return
        source, target = source.indirect(start), target.indirect(to)
        if item.is_plain:
            target.write(0, source.read(0, length * size))
        else:
            for at in range(0, length * size, size or 1):
                item.copy(source, at, target, at)

    def same_as(self, other: StoredType) -> bool:
        """Return whether the items are of the same type."""
        return isinstance(other, DynArrayType) and self._item.same_as(other._item)

    def __reduce__(self) -> tuple[Any, ...]:
        return interned, (DynArrayType, self._item)


class ArrayType(StoredType):
    """How an `Array` lies in storage."""

    def __init__(self, item: StoredType, length: int) -> None:
        self.name = f"Array[{item.name}, {length}]"
        self.size = item.size * length
        self._item = item
        self._length = length
        if item.is_plain:
            self.steps = (self.size,) if self.size else ()
            self.is_movable = True
        else:
            self.steps = (self,)

    def read(self, slot: Slot, offset: int) -> Array:
        """Return the list at this place, as a view."""
        array = object.__new__(Array)
        array._slot, array._offset = slot, offset
        array._item, array._length = self._item, self._length
        return array

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Put the items of a list of the same length here, or copy an `Array`.

        Raises `AssertionError` for another length or item type, `AttributeError` for other types.
        """
        if len(value) != self._length:
            raise AssertionError(f"{self.name} has {self._length} items, got {len(value)}")
        if isinstance(value, list):
            for at, one in zip(self._places(offset), value, strict=False):
                self._item.write(slot, at, one)
        elif not isinstance(value, Array):
            raise AttributeError(f"{self.name} takes a list, got {shown(value)}")
        elif not self._item.same_as(value._item):
            raise AssertionError(f"{self.name} expected, got items of type {value._item.name}")
        else:
            self.copy(value._slot, value._offset, slot, offset)

    def copy(self, source: Slot, start: int, target: Slot, to: int) -> None:
        """Copy all items in order."""
        if self._item.is_plain:
            super().copy(source, start, target, to)
            return
        for at, there in zip(self._places(start), self._places(to), strict=False):
            self._item.copy(source, at, target, there)

    def same_as(self, other: StoredType) -> bool:
        """Return whether length and type of the items are the same."""
        if not isinstance(other, ArrayType) or self._length != other._length:
            return False
        return self._item.same_as(other._item)

    def _places(self, offset: int) -> Any:
        return [offset + i * self._item.size for i in range(self._length)]

    def __reduce__(self) -> tuple[Any, ...]:
        return interned, (ArrayType, self._item, self._length)


def stored_type_of(array: DynArray | Array) -> StoredType:
    """Return the stored type of a list that was read from storage."""
    if isinstance(array, Array):
        return interned(ArrayType, array._item, array._length)
    return interned(DynArrayType, array._item)


def _position(index: Any, length: int) -> int:
    position = as_index(index)
    if position < 0:
        position += length
    if not 0 <= position < length:
        raise IndexError(f"index {index} is out of range, the length is {length}")
    return position
