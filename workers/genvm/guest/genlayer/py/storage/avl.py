"""How the balanced tree of a `TreeMap` changes.

The nodes lie one after another in the child slot of the list of nodes, each as

    key | value | left u32 | right u32 | balance i8

Links are the number of a node plus 1, 0 is none; `balance` is the height of the right subtree less
that of the left one. What is written, and in which order, is part of the result of a run:
docs/spec/08-storage-layout.md#treemap-an-avl-tree-in-an-array.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .slots import Slot

    Path = list[tuple[int, bool]]
    """The nodes from the root to a place, each with whether the way goes on to its right."""

LINKS_SIZE = 9


class Tree:
    """The nodes of one map, of which the record lies at `offset` of `slot`."""

    __slots__ = ("_links_at", "_node_size", "_nodes", "_offset", "_slot")

    def __init__(self, slot: Slot, offset: int, node_size: int) -> None:
        self._slot = slot
        self._offset = offset
        self._nodes = slot.indirect(offset + 4)
        self._node_size = node_size
        self._links_at = node_size - LINKS_SIZE

    # ------------------------------------------------------------------------------- nodes

    def _at(self, node: int) -> int:
        return (node - 1) * self._node_size + self._links_at

    def _child(self, node: int, right: bool) -> int:
        raw = self._nodes.read(self._at(node) + 4 * right, 4)
        return int.from_bytes(raw, "little")

    def _set_child(self, node: int, right: bool, child: int) -> None:
        self._nodes.write(self._at(node) + 4 * right, child.to_bytes(4, "little"))

    def _balance(self, node: int) -> int:
        return int.from_bytes(self._nodes.read(self._at(node) + 8, 1), "little", signed=True)

    def _set_balance(self, node: int, balance: int) -> None:
        self._nodes.write(self._at(node) + 8, balance.to_bytes(1, "little", signed=True))

    def _link(self, path: Path, node: int) -> None:
        """Let the last node of `path` lead to `node`; with no path it is the root."""
        if path:
            self._set_child(*path[-1], node)
        else:
            self._set_number(0, node)

    def _number(self, field: int) -> int:
        """Return the root (field 0), the length of the nodes (4) or of the free ones (8)."""
        return int.from_bytes(self._slot.read(self._offset + field, 4), "little")

    def _set_number(self, field: int, value: int) -> None:
        self._slot.write(self._offset + field, value.to_bytes(4, "little"))

    # -------------------------------------------------------------------------- inserting

    def add_node(self, path: Path) -> int:
        """Put a node that is free, or a new one, at the end of `path`, and return it."""
        node = self._take_node()
        self._link(path, node)
        return node

    def _take_node(self) -> int:
        free = self._number(8)
        if free:
            raw = self._slot.indirect(self._offset + 8).read(4 * (free - 1), 4)
            self._set_number(8, free - 1)
            return int.from_bytes(raw, "little") + 1
        count = self._number(4)
        self._set_number(4, count + 1)
        return count + 1

    def finish(self, path: Path, node: int) -> None:
        """Make `node`, which was added and has its key and value, a leaf of a balanced tree."""
        self._nodes.write(self._at(node), bytes(LINKS_SIZE))
        for depth in range(len(path) - 1, -1, -1):
            parent, right = path[depth]
            balance = self._balance(parent) + (1 if right else -1)
            if abs(balance) == 2:
                top = self._rotated(parent, right)
                if depth:
                    self._set_child(*path[depth - 1], top)
                else:
                    self._set_number(0, top)
                return
            self._set_balance(parent, balance)
            if not balance:
                return

    # ---------------------------------------------------------------------------- removing

    def remove(self, path: Path, node: int) -> None:
        """Remove the node at the end of `path`."""
        self._release(node - 1)
        left, right = self._child(node, False), self._child(node, True)
        if left and right:
            walk = self._replace(path, node, left, right)
        else:
            self._link(path, left or right)
            if left or right:
                self._set_balance(left or right, 0)
            walk = path
        self._shrink(walk)

    def _release(self, index: int) -> None:
        """Make a node free: the last one by shortening the list of nodes."""
        if index == self._number(4) - 1:
            self._set_number(4, index)
            return
        free = self._number(8)
        self._set_number(8, free + 1)
        self._slot.indirect(self._offset + 8).write(4 * free, index.to_bytes(4, "little"))

    def _replace(self, path: Path, node: int, left: int, right: int) -> Path:
        """Put the next greater node in the place of `node`; return the path to where it was."""
        below: Path = []
        least = right
        while (smaller := self._child(least, False)) != 0:
            below.append((least, False))
            least = smaller
        self._set_child(least, False, left)
        if below:
            self._set_child(*below[-1], self._child(least, True))
            self._set_child(least, True, right)
        self._link(path, least)
        self._set_balance(least, self._balance(node))
        return [*path, (least, True), *below]

    def _shrink(self, path: Path) -> None:
        """Balance the tree where a node has vanished at the end of `path`."""
        for depth in range(len(path) - 1, -1, -1):
            parent, right = path[depth]
            balance = self._balance(parent) + (-1 if right else 1)
            if abs(balance) < 2:
                self._set_balance(parent, balance)
                if balance:
                    return
                continue
            sibling = self._child(parent, not right)
            was_even = not self._balance(sibling)
            top = self._rotated(parent, not right)
            self._link(path[:depth], top)
            if was_even:
                return

    # ---------------------------------------------------------------------------- rotating

    def _rotated(self, top: int, right: bool) -> int:
        """Rotate `top`, whose subtree on this side is too high; return the new top."""
        child = self._child(top, right)
        lean = self._balance(child)
        if lean and (lean > 0) != right:
            return self._rotated_twice(top, child, right)
        self._set_two(top, right, self._child(child, not right), child, top)
        even = 1 if right else -1
        self._set_balance(top, 0 if lean else even)
        self._set_balance(child, 0 if lean else -even)
        return child

    def _set_two(self, top: int, right: bool, inner: int, child: int, old: int) -> None:
        self._set_child(child, not right, old)
        self._set_child(top, right, inner)

    def _rotated_twice(self, top: int, child: int, right: bool) -> int:
        """Lift the inner child of `child` above both."""
        inner = self._child(child, not right)
        self._set_child(top, right, self._child(inner, not right))
        self._set_child(child, not right, self._child(inner, right))
        self._set_child(inner, not right, top)
        self._set_child(inner, right, child)
        lean = self._balance(inner)
        outward = 1 if right else -1
        self._set_balance(top, -outward if lean == outward else 0)
        self._set_balance(child, outward if lean == -outward else 0)
        self._set_balance(inner, 0)
        return inner
