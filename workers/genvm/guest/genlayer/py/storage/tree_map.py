"""`TreeMap[K, V]`: a `dict` in storage, ordered by key. How it lies there: see `avl`."""

from __future__ import annotations

from .avl import HEADER, ZERO, AvlTree
from .layout import Alias, stored_type
from .scalars import StoredType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .slots import Slot

_REQUIRED = object()


class TreeMap(AvlTree):
    """A map whose entries lie in storage, ordered by key. It does all that a `dict` does.

    `TreeMap[K, V]` annotates a field; called, it makes an empty map in memory.
    """

    EXAMPLE = "TreeMap[str, u256]"

    __slots__ = ()

    def __new__(cls, entries: Any = ()) -> Any:
        """Return a plain `dict`: a field that it is assigned to gives its entries their types."""
        return dict(entries)

    def __class_getitem__(cls, types: Any) -> Alias:
        if not isinstance(types, tuple) or len(types) != 2:
            raise TypeError(f"TreeMap has a key and a value type, such as {cls.EXAMPLE}")
        return Alias(cls, types)

    @staticmethod
    def stored_as(key: Any, value: Any) -> StoredType:
        """Return the stored type of `TreeMap[key, value]`."""
        return MapType(stored_type(key), stored_type(value))

    def detached(self) -> TreeMap:
        """Return a copy in memory."""
        return MapType(self._key, self._value).detached(self)

    def __len__(self) -> int:
        return self._header()[1]

    def __iter__(self) -> Iterator[Any]:
        return self._walk(self._read_key)

    def __reversed__(self) -> Iterator[Any]:
        return self._walk(self._read_key, backwards=True)

    def __contains__(self, key: Any) -> bool:
        return self._find(key) != 0

    def __getitem__(self, key: Any) -> Any:
        node = self._find(key)
        if not node:
            raise KeyError(key)
        return self._read_value(node)

    def __setitem__(self, key: Any, value: Any) -> None:
        node, path = self._find_with_path(key)
        if node:
            at = (node - 1) * self._node_size + self._value_at
            self._value.write(self._nodes, at, value)
        else:
            self._insert(path, key, value)

    def __delitem__(self, key: Any) -> None:
        node, path = self._find_with_path(key)
        if not node:
            raise KeyError(key)
        self._remove(node, path)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (TreeMap, dict)):
            return NotImplemented
        return len(self) == len(other) and dict(self.items()) == dict(other.items())

    __hash__ = None

    def __repr__(self) -> str:
        return f"TreeMap({dict(self.items())!r})"

    def keys(self) -> Entries:
        """Return the keys, in order."""
        return Entries(self, self._read_key)

    def values(self) -> Entries:
        """Return the values, in the order of their keys."""
        return Entries(self, self._read_value)

    def items(self) -> Entries:
        """Return the pairs of key and value, in the order of the keys."""
        return Entries(self, self._read_item)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        node = self._find(key)
        return self._read_value(node) if node else default

    def setdefault(self, key: Any, default: Any) -> Any:
        """Return the value of `key`, which is set to `default` first when it has none."""
        return self.compute_if_absent(key, lambda: default)

    def compute_if_absent(self, key: Any, supplier: Callable[[], Any]) -> Any:
        """Return the value of `key`, which is set to `supplier()` first when it has none."""
        if key not in self:
            self[key] = supplier()
        return self[key]

    def get_or_insert_default(self, key: Any) -> Any:
        """Return the value of `key`, which is set to its type's zero first when it has none."""
        node, path = self._find_with_path(key)
        return self._read_value(node or self._insert(path, key, ZERO))

    def pop(self, key: Any, default: Any = _REQUIRED) -> Any:
        """Remove `key` and return its value, or `default`."""
        node, path = self._find_with_path(key)
        if node:
            value = self._value.detached(self._read_value(node))
            self._remove(node, path)
            return value
        if default is _REQUIRED:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[Any, Any]:
        """Remove the entry with the greatest key, and return its key and value."""
        for key in reversed(self):
            return key, self.pop(key)
        raise KeyError("popitem(): the map is empty")

    def update(self, entries: Any = (), /, **more: Any) -> None:
        """Set all these entries: a mapping, or pairs of key and value."""
        pairs = entries.items() if hasattr(entries, "items") else entries
        for key, value in [*pairs, *more.items()]:
            self[key] = value

    def clear(self) -> None:
        """Remove all entries."""
        self._home.write(self._offset, bytes(HEADER.size))

    def assign(self, entries: Any) -> None:
        """Replace all entries by these: a mapping, or pairs of key and value."""
        pairs = entries.items() if hasattr(entries, "items") else entries
        if isinstance(entries, TreeMap):
            pairs = [(key, entries._value.detached(value)) for key, value in pairs]
        self.clear()
        for key, value in pairs:
            self[key] = value


class Entries:
    """What `keys`, `values` and `items` give: a live view of a map."""

    __slots__ = ("_map", "_read")

    def __init__(self, of: TreeMap, read: Callable[[int], Any]) -> None:
        self._map = of
        self._read = read

    def __len__(self) -> int:
        return len(self._map)

    def __iter__(self) -> Iterator[Any]:
        return self._map._walk(self._read)

    def __reversed__(self) -> Iterator[Any]:
        return self._map._walk(self._read, backwards=True)

    def __repr__(self) -> str:
        return repr(list(self))


class MapType(StoredType):
    """How a `TreeMap` lies in storage."""

    size = HEADER.size
    flat = False
    view = True

    def __init__(self, key: StoredType, value: StoredType) -> None:
        if not key.sortable:
            raise TypeError(f"{key.name} has no order, so it cannot be a key of a TreeMap")
        self.name = f"TreeMap[{key.name}, {value.name}]"
        self._key = key
        self._value = value

    def read(self, slot: Slot, offset: int) -> TreeMap:
        """Return the map at this place, as a view."""
        view = object.__new__(TreeMap)
        view.place(slot, offset, self._key, self._value)
        return view

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Replace the map at this place by `value`, another map."""
        if not isinstance(value, TreeMap) and not hasattr(value, "items"):
            raise TypeError(f"{self.name} expected, got {type(value).__name__}; assign a dict")
        if not (isinstance(value, TreeMap) and value.lies_at(slot, offset)):
            self.read(slot, offset).assign(value)

    def encode(self, slot: Slot, offset: int, value: Any) -> bytes:
        """Write `value`, and return the header that lies in place."""
        self.write(slot, offset, value)
        return slot.read(offset, self.size)
