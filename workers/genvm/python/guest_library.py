"""All that the Python guest imports, compiled and unpacked once, so that imports are quick there.

The interpreter carries its standard library as a compressed ZIP, which costs a cold call some
50 ms; and our guest files would be compiled at each run, each after a search through folders. All
is made once, by the guest itself, and kept as one file: the length of an index, the index
(calldata: offset and size by path), and the files. There is no running without it, so whether it
was there before changes no result.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

from genvm_manager.protocol import calldata
from genvm_manager.workers.genvm.engine.private_cache import Bounds, PrivateCache, anonymous_file
from genvm_manager.workers.genvm.wasi.filesystem import File, FileTree

from .cpython import SHA256
from .guest_files import read_guest_sources

PYTHON_HOME = "/genvm"
"""Where the interpreter looks for `lib/python3.12`."""

FORMAT = "2"
"""Part of the cache's key: raise it with any change of what a library holds."""

_MAX_ENTRIES = 4
_UNCHECKED = bytes.fromhex("cb0d0d0a") + (1).to_bytes(4, "little") + bytes(8)
"""The head of a .pyc of CPython 3.12 that is never compared with its source."""

MODULES = f"{PYTHON_HOME}/modules"
"""The modules of the SDK, in one file, where the guest's `_modules.py` finds them."""

_SDK = ("_genlayer_wasi.py", "genlayer/")

Unpack = Callable[[list[str], list[str]], bytes]
"""Runs `unpack_in_guest.py` in the guest on sources by their names below `/genvm`.

The first become one file, each of the others one of its own.
"""


class GuestLibrary:
    """The library for the guest files as they are now, cached below `folder`."""

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self._sources = read_guest_sources()
        digest = hashlib.sha256((FORMAT + SHA256).encode())
        for name, content in self._sources.items():
            digest.update(f"{name} {len(content)} ".encode() + content)
        self._key = digest.hexdigest()
        self._cache = PrivateCache(folder / "library", Bounds(_MAX_ENTRIES), report)

    def is_made(self) -> bool:
        """Return whether `put` is a matter of milliseconds."""
        return self._cache.get(self._key, _mapped) is not None

    def put(self, tree: FileTree, unpack: Unpack) -> None:
        """Add the library to `tree`, from the cache or made by `unpack`."""
        library = self._cache.get_or_make(
            self._key,
            _mapped,
            lambda: anonymous_file(_make(list(self._sources), unpack)),
        )
        assert library is not None
        for name, content in self._sources.items():
            tree.put(f"{PYTHON_HOME}/{name}", File(content))
        for path, cached in _files(library):
            tree.put(path, File(cached))


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _files(library: memoryview) -> Iterator[tuple[str, memoryview]]:
    start = 4 + int.from_bytes(library[:4], "little")
    for path, (offset, size) in calldata.decode(library[4:start]).items():
        yield path, library[start + offset : start + offset + size]


def _make(names: list[str], unpack: Unpack) -> bytes:
    sdk = [name for name in names if name.startswith(_SDK)]
    others = [name for name in names if name not in sdk]
    stdlib, modules, *codes = _pieces(unpack(sdk, others))
    files = dict(_unzipped(stdlib)) | {MODULES: modules}
    for name, code in zip(others, codes, strict=True):
        folder, _, file = f"{PYTHON_HOME}/{name}".rpartition("/")
        files[f"{folder}/__pycache__/{file[:-3]}.cpython-312.pyc"] = _UNCHECKED + code
    index, offset = {}, 0
    for path, content in sorted(files.items()):
        index[path] = [offset, len(content)]
        offset += len(content)
    head = calldata.encode(index)
    return b"".join([len(head).to_bytes(4, "little"), head, *(files[path] for path in index)])


def _unzipped(stdlib: bytes) -> Iterator[tuple[str, bytes]]:
    import zipfile  # noqa: PLC0415 (only paid for when making)
    from io import BytesIO  # noqa: PLC0415

    with zipfile.ZipFile(BytesIO(stdlib)) as archive:
        for name in archive.namelist():
            yield f"{PYTHON_HOME}/lib/python3.12/{name}", archive.read(name)


def _pieces(written: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(written):
        size = int.from_bytes(written[at : at + 4], "little")
        yield written[at + 4 : at + 4 + size]
        at += 4 + size
