"""The files of a runner archive that is a tar: ustar only, read alike on every machine.

Source: docs/spec/06-contracts.md#runners.

Python's own tarfile follows whatever extension an archive has. Here an extension that would change
a name or a size is refused. All work is linear, and no content is copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .errors import InvalidContract
from .zip_file import MAX_FILES, MAX_PATH, is_plain

_BLOCK = 512
_CHECKSUM = slice(148, 156)
_FILES = b"0\0"
_FOLDER = b"5"
_EXTENDED = b"xg"
_RENAMING = (b" path=", b" size=", b" linkpath=")
_STEP = "make the archive with tar --format=ustar"


class _Header(NamedTuple):
    name: bytes
    size: int
    kind: bytes


def read_tar(archive: bytes) -> dict[str, memoryview]:
    """Return the files of `archive` by path, as views into it; folders are left out.

    Raises `InvalidContract`, which says what is wrong with the archive.
    """
    view = memoryview(archive)
    files: dict[str, memoryview] = {}
    for count, (header, at) in enumerate(_entries(archive)):
        if count >= MAX_FILES:
            raise _damaged(f"it has more than {MAX_FILES} entries")
        if header.kind == _FOLDER:
            continue
        if header.kind in _EXTENDED:
            _check_extension(archive[at : at + header.size])
            continue
        if header.kind not in _FILES:
            raise _damaged(f"{header.name!r} is neither a file nor a folder; {_STEP}")
        path = _path(header.name)
        if path in files:
            raise _damaged(f"it has {path!r} twice")
        files[path] = view[at : at + header.size]
    return files


def _entries(archive: bytes) -> Iterator[tuple[_Header, int]]:
    """Yield each header, and where its content begins, up to the first block of zeros."""
    at = 0
    while at < len(archive):
        block = archive[at : at + _BLOCK]
        if not any(block):
            return
        header = _header(block)
        at += _BLOCK
        if at + header.size > len(archive):
            raise _damaged("it ends too early")
        yield header, at
        at += -(-header.size // _BLOCK) * _BLOCK


def _header(block: bytes) -> _Header:
    if len(block) < _BLOCK:
        raise _damaged("it ends too early")
    if not block.startswith(b"ustar", 257):
        raise _damaged(f"it is not in the format ustar; {_STEP}")
    unsummed = sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" ")
    if _octal(block[_CHECKSUM]) != unsummed:
        raise _damaged("the checksum of an entry is wrong")
    name, prefix = _text(block[:100]), _text(block[345:500])
    if prefix and block[257:265] == b"ustar\x0000":
        name = prefix + b"/" + name
    return _Header(name, _octal(block[124:136]), block[156:157])


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _octal(field: bytes) -> int:
    digits = field.rstrip(b"\0 ").lstrip(b" ")
    if not digits or digits.strip(b"01234567"):
        raise _damaged("a number of an entry is malformed")
    return int(digits, 8)


def _check_extension(records: bytes) -> None:
    """Refuse what would give an entry another name or size; times and owners mean nothing here."""
    if any(word in records for word in _RENAMING):
        raise _damaged(f"an entry needs an extension of ustar; {_STEP}")


def _path(name: bytes) -> str:
    try:
        path = name.removeprefix(b"./").decode()
    except UnicodeDecodeError:
        raise _damaged("a path is not UTF-8") from None
    if len(name) > MAX_PATH or not is_plain(path):
        raise _damaged(f"{path!r} is not a path that a runner's file may have")
    return path


def _damaged(why: str) -> InvalidContract:
    return InvalidContract(f"the tar cannot be used: {why}", "malformed_runner")
