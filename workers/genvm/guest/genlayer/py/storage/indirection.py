"""`Indirection[T]` and `VLA[T]`: values in a slot of their own, and lists in one piece."""

from __future__ import annotations

from .layout import stored_type
from .scalars import integer
from .slots import SLOT_SIZE
from .stored_type import StoredType, interned, shown, view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .slots import Slot


class Indirection:
    """A value that lies at the start of the child slot. `Indirection[T]` annotates a field."""

    EXAMPLE = "Indirection[u256]"

    __class_getitem__ = classmethod(type(list[int]))
    __slots__ = ("_item", "_offset", "_slot")

    def __init__(self, *_: Any) -> None:
        raise TypeError(f"an Indirection is made by storage: declare a field {self.EXAMPLE}")

    @staticmethod
    def stored_as(item: Any) -> StoredType:
        """Return the stored type of `Indirection[item]`."""
        return interned(IndirectionType, stored_type(item))

    def get(self) -> Any:
        """Return the value, or a view of it."""
        return self._item.read(self.slot(), 0)

    def set(self, value: Any) -> None:
        """Replace the value."""
        self._item.write(self.slot(), 0, value)

    def slot(self) -> Slot:
        """Return the slot that the value lies in."""
        return self._slot.indirect(self._offset)

    def __reduce__(self) -> tuple[Any, ...]:
        return view, (interned(IndirectionType, self._item), self._slot, self._offset)


class VLA:
    """A list whose length (u32) and items lie in one piece. `VLA[T]` annotates a field.

    It is the last field of its slot, as nothing else fits behind it.
    """

    EXAMPLE = "VLA[u8]"

    __class_getitem__ = classmethod(type(list[int]))
    __slots__ = ("_item", "_offset", "_slot")

    def __init__(self, *_: Any) -> None:
        raise TypeError(f"a VLA is made by storage: declare a field {self.EXAMPLE}")

    @staticmethod
    def stored_as(item: Any) -> StoredType:
        """Return the stored type of `VLA[item]`."""
        return interned(VLAType, stored_type(item))

    def __len__(self) -> int:
        return int.from_bytes(self._slot.read(self._offset, 4), "little")

    def __iter__(self) -> Iterator[Any]:
        for position in range(len(self)):
            yield self[position]

    def __getitem__(self, index: int) -> Any:
        return self._item.read(self._slot, self._at(self._checked(index)))

    def __setitem__(self, index: int, value: Any) -> None:
        self._item.write(self._slot, self._at(self._checked(index)), value)

    def append(self, value: Any) -> None:
        """Add `value` at the end."""
        length = len(self)
        self._item.write(self._slot, self._at(length), value)
        self._set_length(length + 1)

    def extend(self, values: Iterable[Any]) -> None:
        """Replace all items by `values`."""
        if isinstance(values, bytes | bytearray | memoryview) and self._item is integer("u8"):
            self._slot.write(self._offset, len(values).to_bytes(4, "little") + bytes(values))
            return
        self.truncate()
        for value in values:
            self.append(value)

    def truncate(self, length: int = 0) -> None:
        """Keep the first `length` items only."""
        if length > len(self):
            raise IndexError(f"cannot truncate {len(self)} items to {length}")
        self._set_length(length)

    def slot(self) -> Slot:
        """Return the slot that the list lies in."""
        return self._slot

    def _at(self, position: int) -> int:
        return self._offset + 4 + position * self._item.size

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is out of range, the length is {len(self)}")
        return index

    def _set_length(self, length: int) -> None:
        self._slot.write(self._offset, length.to_bytes(4, "little"))

    def __reduce__(self) -> tuple[Any, ...]:
        return view, (interned(VLAType, self._item), self._slot, self._offset)


class _ViewType(StoredType):
    """A type of which a field is read as an `of`, which knows slot, offset and item type."""

    of: type

    def __init__(self, item: StoredType) -> None:
        self.name = f"{self.of.__name__}[{item.name}]"
        self.steps = (self,)
        self._item = item

    def read(self, slot: Slot, offset: int) -> Any:
        """Return what lies at this place, as a view."""
        made = object.__new__(self.of)
        made._slot, made._offset, made._item = slot, offset, self._item
        return made

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Copy another one of the same item type. Raises `AssertionError` for anything else."""
        if not isinstance(value, self.of) or not self._item.same_as(value._item):
            raise AssertionError(f"{self.name} expected, got {shown(value)}")
        self.copy(value._slot, value._offset, slot, offset)

    def same_as(self, other: StoredType) -> bool:
        """Return whether the items are of the same type."""
        return type(other) is type(self) and self._item.same_as(other._item)

    def __reduce__(self) -> tuple[Any, ...]:
        return interned, (type(self), self._item)


class IndirectionType(_ViewType):
    """How an `Indirection` lies in storage: one byte that is never written."""

    size = 1
    of = Indirection

    def copy(self, source: Slot, start: int, target: Slot, to: int) -> None:
        """Copy the value from child slot to child slot."""
        self._item.copy(source.indirect(start), 0, target.indirect(to), 0)


class VLAType(_ViewType):
    """How a `VLA` lies in storage: to the end of its slot."""

    size = SLOT_SIZE - 1
    of = VLA

    def copy(self, source: Slot, start: int, target: Slot, to: int) -> None:
        """Empty the target, then append item by item."""
        self.read(target, to).extend(self.read(source, start))
