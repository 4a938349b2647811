"""The files of a contract that is a ZIP: stored entries only, read alike on every machine.

Python's own zipfile takes other archives from one version to the next, and a contract's result must
not depend on that; its reading of extra fields is also quadratic. All work here is linear.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Iterator
from typing import NamedTuple

from .errors import InvalidContract

MAX_FILES = 10_000
"""The most entries of a ZIP."""

MAX_PATH = 1024
"""Bytes of the longest path in a ZIP."""

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_END_MARK, _ENTRY_MARK, _LOCAL_MARK = b"PK\5\6", b"PK\1\2", b"PK\3\4"
_MAX_COMMENT = 0xFFFF
_ENCRYPTED, _UTF8 = 1, 1 << 11
_STORED = 0


class _Entry(NamedTuple):
    name: bytes
    flags: int
    crc: int
    size: int
    at: int

    @property
    def path(self) -> str:
        return self.name.decode("utf-8" if self.flags & _UTF8 else "cp437")


def read_zip(archive: bytes) -> dict[str, bytes]:
    """Return the files of `archive` by path, never more bytes than it has itself.

    Raises `InvalidContract`, which says what is wrong with the archive.
    """
    try:
        return _files(archive)
    except struct.error:
        raise InvalidContract("the ZIP is damaged: it ends too early") from None
    except UnicodeDecodeError:
        raise InvalidContract("the ZIP is damaged: a path is not UTF-8") from None


def _files(archive: bytes) -> dict[str, bytes]:
    directory, entries = _directory(archive)
    listed = [entry for entry in entries if not entry.name.endswith(b"/")]
    if sum(entry.size for entry in listed) > len(archive):
        raise InvalidContract("the ZIP unpacks to more than it holds")
    files: dict[str, bytes] = {}
    for entry in listed:
        path = entry.path
        if len(entry.name) > MAX_PATH or not is_plain(path) or path in files:
            raise InvalidContract(
                f"{path[:MAX_PATH]!r} is not a path that a contract's file may have"
            )
        files[path] = _content(archive, entry, directory)
    return files


def _directory(archive: bytes) -> tuple[int, Iterator[_Entry]]:
    """Return where the central directory begins, and what it lists."""
    end = _end_record(archive)
    _, disk, first_disk, here, count, size, start, _ = _END.unpack_from(archive, end)
    if disk or first_disk or here != count or start + size != end:
        raise InvalidContract("the ZIP is damaged: it is not one whole archive from its first byte")
    if count > MAX_FILES:
        raise InvalidContract(f"the ZIP has more than {MAX_FILES} entries")
    return start, _entries(archive, start, count, end)


def _end_record(archive: bytes) -> int:
    """Return where the record stands that ends the archive with its comment."""
    at = len(archive)
    while (at := archive.rfind(_END_MARK, -(_MAX_COMMENT + _END.size), at)) >= 0:
        record = archive[at : at + _END.size]
        if len(record) == _END.size and at + _END.size + _END.unpack(record)[-1] == len(archive):
            return at
    raise InvalidContract("the ZIP is damaged: its end is missing")


def _entries(archive: bytes, at: int, count: int, end: int) -> Iterator[_Entry]:
    for _ in range(count):
        mark, _, _, flags, method, _, _, crc, packed, size, *rest = _ENTRY.unpack_from(archive, at)
        name_size, extra_size, comment_size, _, _, _, local = rest
        name_at = at + _ENTRY.size
        at = name_at + name_size + extra_size + comment_size
        entry = _Entry(archive[name_at : name_at + name_size], flags, crc, size, local)
        if mark == _ENTRY_MARK and (method != _STORED or flags & _ENCRYPTED):
            _refuse_packed(entry)
        if mark != _ENTRY_MARK or packed != size or at > end:
            raise InvalidContract("the ZIP is damaged: an entry of its directory is malformed")
        yield entry
    if at != end:
        raise InvalidContract("the ZIP is damaged: its directory has another size")


def _refuse_packed(entry: _Entry) -> None:
    """Raise `InvalidContract` for a file that is compressed or encrypted; folders may be."""
    if not entry.name.endswith(b"/"):
        raise InvalidContract(
            f"{entry.path[:MAX_PATH]!r} is compressed or encrypted; make the ZIP by zip -0"
        )


def _content(archive: bytes, entry: _Entry, directory: int) -> bytes:
    mark, *_, name_size, extra_size = _LOCAL.unpack_from(archive, entry.at)
    name_at = entry.at + _LOCAL.size
    start = name_at + name_size + extra_size
    content = archive[start : start + entry.size]
    if (
        mark != _LOCAL_MARK
        or archive[name_at : name_at + name_size] != entry.name
        or start + entry.size > directory
        or crc32(content) != entry.crc
    ):
        raise InvalidContract(f"the ZIP is damaged: {entry.path!r} is not as its directory says")
    return content


def is_plain(path: str) -> bool:
    """Return whether a path is relative and each of its parts is a name."""
    if "\\" in path or "\0" in path:
        return False
    return all(part not in ("", ".", "..") for part in path.split("/"))
