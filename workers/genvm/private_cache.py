"""A folder of things that took long to make, and that nobody else may touch (spec 06).

What is kept here runs as machine code, so the folder must be ours alone, and an entry counts only
while its file is the very one that was written, by size, inode and times. Anything else is made
again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LOCK_WAIT = 120.0
"""Seconds to wait for another process that makes something."""


class CacheUnusable(Exception):
    """The cache folder cannot be used or trusted; the message says what to do."""


class PrivateCache:
    """At most `max_entries` files in `folder`; the one added first leaves first.

    Raises `CacheUnusable` where others could write there.
    """

    def __init__(self, folder: Path, max_entries: int) -> None:
        self._folder = _private_folder(folder)
        self._max_entries = max_entries

    def get_or_make(
        self, name: str, load: Callable[[Path], T | None], make: Callable[[], bytes]
    ) -> T:
        """What `load` makes of the entry `name`; where there is none, `make` gives its content.

        `load` gives None for a file that is damaged. One process at a time makes an entry.
        """
        loaded = self.get(name, load)
        if loaded is not None:
            return loaded
        with self._locked():
            loaded = self.get(name, load)
            if loaded is None:
                self._add(name, make())
                loaded = self.get(name, load)
        if loaded is None:
            raise CacheUnusable(f"{self._folder / name}: it cannot be read back")
        return loaded

    def get(self, name: str, load: Callable[[Path], T | None]) -> T | None:
        """What `load` makes of the entry `name`, if it is here and untouched."""
        path = self._folder / name
        try:
            return load(path) if _stamp_path(path).read_bytes() == _stamp(path) else None
        except OSError:
            return None

    def _add(self, name: str, content: bytes) -> None:
        path = self._folder / name
        try:
            _write_atomically(path, content)
            _write_atomically(_stamp_path(path), _stamp(path))
            self._forget_oldest()
        except OSError as error:
            path.unlink(missing_ok=True)
            raise CacheUnusable(f"{path}: {error.strerror}; choose another --cache-dir") from None

    def _forget_oldest(self) -> None:
        stamps = sorted(self._folder.glob("*.stamp"), key=lambda path: path.stat().st_mtime_ns)
        for stamp in stamps[: -self._max_entries]:
            stamp.unlink()
            stamp.with_suffix("").unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout  # noqa: PLC0415 (only paid for when making)

        try:
            with FileLock(self._folder / "lock", timeout=LOCK_WAIT):
                yield
        except Timeout:
            raise CacheUnusable(f"{self._folder}: another process holds its lock") from None


def _private_folder(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise CacheUnusable(f"{folder}: {error.strerror}; choose another --cache-dir") from None
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise CacheUnusable(f"{folder}: others may use it; chmod 700 it, or choose another")
    return folder


def _write_atomically(path: Path, content: bytes) -> None:
    """Put a whole file in place of `path`, or leave it as it was."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _stamp_path(path: Path) -> Path:
    return path.with_name(path.name + ".stamp")


def _stamp(path: Path) -> bytes:
    status = path.stat()
    numbers = status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
    return " ".join(map(str, numbers)).encode()
