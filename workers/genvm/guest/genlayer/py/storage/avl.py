"""The balanced tree that a `TreeMap` keeps its entries in.

In place lie 16 bytes: the number of the root node, the number of entries, how many nodes were ever
made, and the first free node (four u32). The nodes lie one after another in the child slot; node
`n` starts at `(n - 1) * node size`, and 0 means no node. A node is

    left u32 | right u32 | height u8 | key | value

It is an AVL tree: the heights of two siblings differ by one at most. A node never moves while its
entry lives, so views of values stay valid; a removed node goes onto the free list, linked through
`left`. Looking up one of n entries reads about log2(n) nodes; inserting writes the new node, the
header, and the links that changed.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .scalars import StoredType, Value
    from .slots import Slot

HEADER = Struct("<IIII")
LINKS = Struct("<IIB")
ZERO = object()
"""Stands for the zero of the value type."""


class AvlTree:
    """The nodes of one map; `home` and `offset` say where its header lies."""

    __slots__ = ("_home", "_key", "_node_size", "_nodes", "_offset", "_value", "_value_at")

    def place(self, home: Slot, offset: int, key: Value, value: StoredType) -> None:
        """Say where this tree lies and what it holds. Stands for `__init__`."""
        self._home = home
        self._offset = offset
        self._nodes = home.child(offset)
        self._key = key
        self._value = value
        self._value_at = LINKS.size + key.size
        self._node_size = self._value_at + value.size

    def lies_at(self, home: Slot, offset: int) -> bool:
        """Return whether this is the place of the tree."""
        return self._home is home and self._offset == offset

    # ------------------------------------------------------------------------------- reading

    def _header(self) -> tuple[int, int, int, int]:
        """Return root node, number of entries, nodes ever made, first free node."""
        return HEADER.unpack(self._home.read(self._offset, HEADER.size))

    def _links(self, node: int) -> tuple[int, int, int]:
        """Return left node, right node, height."""
        return LINKS.unpack(self._nodes.read((node - 1) * self._node_size, LINKS.size))

    def _height(self, node: int) -> int:
        return self._links(node)[2] if node else 0

    def _read_node(self, node: int) -> tuple[Any, int, int]:
        """Key, left node, right node."""
        at = (node - 1) * self._node_size
        raw = self._nodes.read(at, self._value_at)
        left, right, _ = LINKS.unpack_from(raw)
        key = self._key.decode(raw[LINKS.size :], self._nodes, at + LINKS.size)
        return key, left, right

    def _read_key(self, node: int) -> Any:
        return self._key.read(self._nodes, (node - 1) * self._node_size + LINKS.size)

    def _read_value(self, node: int) -> Any:
        return self._value.read(self._nodes, (node - 1) * self._node_size + self._value_at)

    def _read_item(self, node: int) -> tuple[Any, Any]:
        return self._read_key(node), self._read_value(node)

    def _find(self, key: Any) -> int:
        """Return the node of `key`, or 0."""
        key = self._key.key(key)
        node = self._header()[0]
        while node:
            here, left, right = self._read_node(node)
            if key == here:
                break
            node = left if key < here else right
        return node

    def _find_with_path(self, key: Any) -> tuple[int, list[tuple[int, bool]]]:
        """Return the node of `key` or 0, and the way to it.

        The way is a list of each node and whether it goes left there.
        """
        key = self._key.key(key)
        path = []
        node = self._header()[0]
        while node:
            here, left, right = self._read_node(node)
            if key == here:
                break
            to_left = key < here
            path.append((node, to_left))
            node = left if to_left else right
        return node, path

    def _walk(self, read: Callable[[int], Any], backwards: bool = False) -> Iterator[Any]:
        """Yield what `read` makes of each node, in order."""
        node, count, _, _ = self._header()
        waiting: list[tuple[int, int]] = []
        while node or waiting:
            while node:
                left, right, _ = self._links(node)
                waiting.append((node, left if backwards else right))
                node = right if backwards else left
            here, node = waiting.pop()
            yield read(here)
            if self._header()[1] != count:
                raise RuntimeError("TreeMap changed its size while it was iterated over")

    # ------------------------------------------------------------------------------- writing

    def _insert(self, path: list[tuple[int, bool]], key: Any, value: Any) -> int:
        """Make a node for `key` where `path` ends, and return it."""
        root, count, made, free = self._header()
        if free:
            node, free = free, self._links(free)[0]
        else:
            node = made = made + 1
        at = (node - 1) * self._node_size
        entry = LINKS.pack(0, 0, 1) + self._key.encode(self._nodes, at + LINKS.size, key)
        if value is ZERO:
            entry += bytes(self._value.size)
        else:
            entry += self._value.encode(self._nodes, at + self._value_at, value)
        self._nodes.write(at, entry)
        root = self._hang(path, node, root)
        self._home.write(self._offset, HEADER.pack(root, count + 1, made, free))
        return node

    def _remove(self, node: int, path: list[tuple[int, bool]]) -> None:
        """Take `node`, to which `path` leads, out of the tree."""
        root, count, made, free = self._header()
        left, right, _ = self._links(node)
        if left and right:
            successor, rest = self._without_first(right)
            replacement = self._join(successor, left, rest)
        else:
            replacement = left or right
        root = self._hang(path, replacement, root)
        self._nodes.write((node - 1) * self._node_size, LINKS.pack(free, 0, 0))
        self._home.write(self._offset, HEADER.pack(root, count - 1, made, node))

    def _hang(self, path: list[tuple[int, bool]], child: int, root: int) -> int:
        """Hang `child` where `path` ends and restore the balance; the root after that."""
        for node, to_left in reversed(path):
            before = self._links(node)
            left, right = (child, before[1]) if to_left else (before[0], child)
            child = self._join(node, left, right)
            if child == node and self._links(node)[2] == before[2]:
                return root
        return child

    def _join(self, node: int, left: int, right: int) -> int:
        """Make one balanced tree of `node` and what is left and right of it; its top node.

        The heights of the two sides may differ by two, as after one insertion or removal.
        """
        left_height, right_height = self._height(left), self._height(right)
        if abs(left_height - right_height) <= 1:
            return self._put(node, left, right, 1 + max(left_height, right_height))
        if left_height > right_height:
            outer, inner, _ = self._links(left)
            if self._height(outer) >= self._height(inner):
                return self._set(left, outer, self._set(node, inner, right))
            inner_left, inner_right, _ = self._links(inner)
            left = self._set(left, outer, inner_left)
            return self._set(inner, left, self._set(node, inner_right, right))
        inner, outer, _ = self._links(right)
        if self._height(outer) >= self._height(inner):
            return self._set(right, self._set(node, left, inner), outer)
        inner_left, inner_right, _ = self._links(inner)
        right = self._set(right, inner_right, outer)
        return self._set(inner, self._set(node, left, inner_left), right)

    def _set(self, node: int, left: int, right: int) -> int:
        """Give `node` these children, and return it."""
        return self._put(node, left, right, 1 + max(self._height(left), self._height(right)))

    def _put(self, node: int, left: int, right: int, height: int) -> int:
        if self._links(node) != (left, right, height):
            at = (node - 1) * self._node_size
            self._nodes.write(at, LINKS.pack(left, right, height))
        return node

    def _without_first(self, node: int) -> tuple[int, int]:
        """Return the leftmost node under `node`, and the tree without it."""
        left, right, _ = self._links(node)
        if not left:
            return node, right
        first, rest = self._without_first(left)
        return first, self._join(node, rest, right)
