"""The read-only files that a guest sees: all in memory, none of them the machine's.

Source: docs/spec/06-contracts.md.
"""

from __future__ import annotations

from .errors import Errno, WasiError


class File:
    """A file and all its bytes."""

    __slots__ = ("content", "inode")

    def __init__(self, content: bytes | memoryview) -> None:
        self.content = content
        self.inode = 0


class Device:
    """A name at which the guest talks to the host."""

    __slots__ = ("inode",)

    def __init__(self) -> None:
        self.inode = 0


class Directory:
    """Names and what they stand for."""

    __slots__ = ("_listing", "entries", "inode", "parent")

    def __init__(self, parent: Directory | None = None) -> None:
        self.parent = parent
        self.entries: dict[str, Node] = {}
        self.inode = 0
        self._listing: list[tuple[str, Node]] | None = None

    def listing(self) -> list[tuple[str, Node]]:
        """Return `.`, `..` and the entries by name.

        It is made once: the tree is complete when a guest first looks.
        """
        if self._listing is None:
            head: list[tuple[str, Node]] = [(".", self), ("..", self.parent or self)]
            self._listing = head + sorted(self.entries.items())
        return self._listing


Node = File | Device | Directory


class FileTree:
    """The files of one guest. Paths in `put` are absolute; a later file replaces an earlier one.

    `nodes`: how many files and folders were ever put there.
    """

    def __init__(self) -> None:
        self.root = Directory()
        self.nodes = 1
        self.root.inode = 1

    def put(self, path: str, node: File | Device) -> None:
        """Add a file and the directories on its way.

        Raises `WasiError` for a path that leads through a file, or that names no file.
        """
        *folders, name = _parts(path) or [""]
        if name in ("", ".", ".."):
            raise WasiError(Errno.NOENT)
        directory = self.root
        for folder in folders:
            directory = self._enter(directory, folder)
        if isinstance(directory.entries.get(name), Directory):
            raise WasiError(Errno.NOTDIR)
        self._number(node)
        directory.entries[name] = node

    def _enter(self, directory: Directory, name: str) -> Directory:
        if name == "..":
            raise WasiError(Errno.NOTCAPABLE)
        child = directory.entries.get(name)
        if child is None:
            child = Directory(directory)
            self._number(child)
            directory.entries[name] = child
        if not isinstance(child, Directory):
            raise WasiError(Errno.NOTDIR)
        return child

    def _number(self, node: Node) -> None:
        self.nodes += 1
        node.inode = self.nodes


def walk(start: Directory, path: str) -> Node:
    """Return what `path` names, seen from `start`. Raises `WasiError`; `..` stops at the root."""
    node: Node = start
    for part in _parts(path):
        if not isinstance(node, Directory):
            raise WasiError(Errno.NOTDIR)
        if part == "..":
            if node.parent is None:
                raise WasiError(Errno.NOTCAPABLE)
            node = node.parent
            continue
        child = node.entries.get(part)
        if child is None:
            raise WasiError(Errno.NOENT)
        node = child
    if path.endswith("/") and not isinstance(node, Directory):
        raise WasiError(Errno.NOTDIR)
    return node


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
