"""`TreeMap[K, V]`: a map in storage, ordered by key. How its tree changes: see `avl`."""

from __future__ import annotations

from _collections_abc import ItemsView as _ItemsView
from _collections_abc import MutableMapping
from _collections_abc import ValuesView as _ValuesView

from .layout import stored_type
from .scalars import integer
from .slots import memory_slot
from .stored_type import StoredType, interned, joined, shown, view
from .vec import DynArrayType

__all__ = ("Comparable", "TreeMap")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .avl import Path, Tree
    from .slots import Slot

_LINKS_SIZE = 9
_UNCHANGED = object()
"""Stands for the value that the bytes of a new node happen to hold."""


class Comparable:
    """What the keys of a `TreeMap` can do: be ordered by `<`."""

    def __lt__(self, other: Any) -> bool:
        raise NotImplementedError


class _Alias(type(list[int])):
    """`TreeMap[K, V]`, which can be called to make an empty map in memory."""

    def __call__(self) -> Any:
        return stored_type(self).read(memory_slot(), 0)


class TreeMap(MutableMapping):
    """A map whose entries lie in storage, ordered by key. `TreeMap[K, V]` annotates a field."""

    EXAMPLE = "TreeMap[str, u256]"

    __slots__ = ("_kind", "_nodes", "_offset", "_slot")

    _first_kind: MapType | None = None

    def __init__(self) -> None:
        if TreeMap._first_kind is None:
            raise TypeError(f"give the types of the map, such as {self.EXAMPLE}()")
        TreeMap._first_kind.place(self, memory_slot(), 0)

    def __class_getitem__(cls, types: Any) -> Any:
        return _Alias(cls, types)

    @staticmethod
    def stored_as(key: Any, value: Any) -> StoredType:
        """Return the stored type of `TreeMap[key, value]`."""
        return interned(MapType, stored_type(key), stored_type(value))

    def __len__(self) -> int:
        raw = self._slot.read(self._offset + 4, 8)
        return int.from_bytes(raw[:4], "little") - int.from_bytes(raw[4:], "little")

    def __iter__(self) -> Iterator[Any]:
        return map(self._key, self._walk())

    def __contains__(self, key: Any) -> bool:
        return self._find(key)[1] != 0

    def __getitem__(self, key: Any) -> Any:
        node = self._find(key)[1]
        if not node:
            raise KeyError
        return self._value(node)

    def __setitem__(self, key: Any, value: Any) -> None:
        path, node = self._find(key)
        if node:
            kind = self._kind
            at = (node - 1) * kind.node_size + kind.key.size
            kind.value.write(self._nodes, at, value)
        else:
            self._insert(path, key, lambda: value)

    def __delitem__(self, key: Any) -> None:
        path, node = self._find(key)
        if not node:
            raise KeyError("key not found")
        with self._slot.manager:
            self._tree().remove(path, node)

    def __repr__(self) -> str:
        return f"{{{','.join(f'{key!r}:{value!r}' for key, value in self.items())}}}"

    def values(self) -> ValuesView:
        """Return the values, in the order of their keys."""
        return ValuesView(self)

    def items(self) -> ItemsView:
        """Return the pairs of key and value, in the order of the keys."""
        return ItemsView(self)

    def clear(self) -> None:
        """Remove all entries; their bytes stay."""
        self._slot.write(self._offset, bytes(12))

    def compute_if_absent(self, key: Any, supplier: Callable[[], Any]) -> Any:
        """Return the value of `key`, which is set to `supplier()` first when it has none."""
        path, node = self._find(key)
        return self._value(node or self._insert(path, key, supplier))

    def get_or_insert_default(self, key: Any) -> Any:
        """Return the value of `key`; a new one is what the bytes of its node stand for."""
        path, node = self._find(key)
        return self._value(node or self._insert(path, key, lambda: _UNCHANGED))

    def _find(self, key: Any) -> tuple[Path, int]:
        """Return the way to `key`, and its node, which is 0 when there is none."""
        kind, nodes = self._kind, self._nodes
        read_key, read = kind.key.read, nodes.read
        size, links_at = kind.node_size, kind.node_size - _LINKS_SIZE
        path: Path = []
        node = int.from_bytes(self._slot.read(self._offset, 4), "little")
        while node:
            at = (node - 1) * size
            there = read_key(nodes, at)
            if key < there:
                right = False
            elif there < key:
                right = True
            else:
                break
            path.append((node, right))
            node = int.from_bytes(read(at + links_at + 4 * right, 4), "little")
        return path, node

    def _insert(self, path: Path, key: Any, supplier: Callable[[], Any]) -> int:
        """Put a new entry at the end of `path`, and return its node."""
        kind, tree = self._kind, self._tree()
        with self._slot.manager:
            node = tree.add_node(path)
        value = supplier()
        at = (node - 1) * kind.node_size
        kind.key.write(self._nodes, at, key)
        if value is not _UNCHANGED:
            kind.value.write(self._nodes, at + kind.key.size, value)
        with self._slot.manager:
            tree.finish(path, node)
        return node

    def _tree(self) -> Tree:
        from .avl import Tree

        return Tree(self._slot, self._offset, self._kind.node_size)

    def _key(self, node: int) -> Any:
        kind = self._kind
        return kind.key.read(self._nodes, (node - 1) * kind.node_size)

    def _value(self, node: int) -> Any:
        kind = self._kind
        return kind.value.read(self._nodes, (node - 1) * kind.node_size + kind.key.size)

    def _walk(self) -> Iterator[int]:
        """Yield all nodes, in the order of their keys."""
        size, links_at = self._kind.node_size, self._kind.node_size - _LINKS_SIZE
        above: list[int] = []
        node = int.from_bytes(self._slot.read(self._offset, 4), "little")
        while node or above:
            while node:
                above.append(node)
                at = (node - 1) * size + links_at
                node = int.from_bytes(self._nodes.read(at, 4), "little")
            node = above.pop()
            yield node
            at = (node - 1) * size + links_at + 4
            node = int.from_bytes(self._nodes.read(at, 4), "little")

    def __reduce__(self) -> tuple[Any, ...]:
        return view, (self._kind, self._slot, self._offset)


class ValuesView(_ValuesView):
    """The values of a map, in the order of their keys."""

    def __iter__(self) -> Iterator[Any]:
        return map(self._mapping._value, self._mapping._walk())


class ItemsView(_ItemsView):
    """The pairs of key and value of a map, in the order of the keys."""

    def __iter__(self) -> Iterator[Any]:
        entries = self._mapping
        return ((entries._key(node), entries._value(node)) for node in entries._walk())


class _NodeType(StoredType):
    """How an entry lies in the list of nodes: key, value, two links and the balance."""

    def __init__(self, key: StoredType, value: StoredType) -> None:
        self.name = f"node of {key.name} and {value.name}"
        self.size = key.size + value.size + _LINKS_SIZE
        self.steps = joined([key, value, _LINKS])


class _Links(StoredType):
    name, size, steps = "links", _LINKS_SIZE, (_LINKS_SIZE,)


_LINKS = _Links()


class MapType(StoredType):
    """How a `TreeMap` lies in storage: its root, then the lists of nodes and of free nodes."""

    size = 12

    def __init__(self, key: StoredType, value: StoredType) -> None:
        self.name = f"TreeMap[{key.name}, {value.name}]"
        self.key = key
        self.value = value
        node = _NodeType(key, value)
        self.node_size = node.size
        self.steps = (4, DynArrayType(node), DynArrayType(integer("u32")))
        TreeMap._first_kind = TreeMap._first_kind or self

    def read(self, slot: Slot, offset: int) -> TreeMap:
        """Return the map at this place, as a view."""
        made = object.__new__(TreeMap)
        self.place(made, slot, offset)
        return made

    def place(self, made: TreeMap, slot: Slot, offset: int) -> None:
        """Let `made` stand for the map at this place."""
        made._kind = self
        made._slot, made._offset = slot, offset
        made._nodes = slot.indirect(offset + 4)

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Copy another map of the same types. Raises `AssertionError` for anything else."""
        if not isinstance(value, TreeMap) or not self.same_as(value._kind):
            raise AssertionError(f"{self.name} expected, got {shown(value)}")
        self.copy(value._slot, value._offset, slot, offset)

    def same_as(self, other: StoredType) -> bool:
        """Return whether keys and values are of the same types."""
        if not isinstance(other, MapType):
            return False
        return self.key.same_as(other.key) and self.value.same_as(other.value)

    def __reduce__(self) -> tuple[Any, ...]:
        return interned, (MapType, self.key, self.value)
