"""A folder of files that took long to make, and that no other user may touch.

Source: docs/spec/06-contracts.md.

What is kept here runs as machine code, so the folder must belong to this user alone, and an entry
counts only while its file is the very one that was written, by size, inode and times. Anything else
is made again. A cache that cannot be used or written costs time and nothing else.

Files: `NAME` and `NAME.stamp`, an entry; `.NAME.PID.new`, one that is being written; `.NAME.lock`,
held by the process that makes it. What a killed process leaves is removed when something is added.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")

_USE_INTERVAL = 60.0
"""Seconds in which several uses of an entry are noted once."""

_STAMP = ".stamp"
_COPY_BYTES = 64 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""Not to wait at a named pipe, should one be there."""


class Bounds(NamedTuple):
    """What a cache may hold; `size` is in bytes, None where the number of entries bounds it."""

    entries: int
    size: int | None = None


class _Entry(NamedTuple):
    used: int
    size: int
    name: str


class PrivateCache:
    """At most `bounds` of files in `folder`; the one used least recently leaves first.

    `report` is told in a sentence why the cache, or an entry of it, cannot be used.
    """

    def __init__(self, folder: Path, bounds: Bounds, report: Callable[[str], None]) -> None:
        self._bounds = bounds
        self._report = report
        self._folder: Path | None = folder
        self._trust(_why_not_private(folder))

    def get_or_make(
        self, name: str, load: Callable[[Path], T | None], make: Callable[[], int]
    ) -> T | None:
        """Return what `load` makes of the entry `name`; where there is none, `make` it.

        `make` gives a descriptor of its content, which is closed here. `load` gives None for a
        file that is damaged; so does this method when that is what was made. One process at a
        time makes an entry; others wait for it, and nobody waits for another entry.
        """
        loaded = self.get(name, load)
        if loaded is not None:
            return loaded
        if (folder := self._folder) is not None:
            self._trust(_why_not_made(folder))
        with self._turn(name):
            loaded = self.get(name, load)
            if loaded is not None:
                return loaded
            made = make()
            try:
                self._add(name, made)
                loaded = self.get(name, load)
                return load(_path_of(made)) if loaded is None else loaded
            finally:
                os.close(made)

    def get(self, name: str, load: Callable[[Path], T | None]) -> T | None:
        """Return what `load` makes of the entry `name`, if it is here and untouched."""
        if self._folder is None:
            return None
        path = self._folder / name
        try:
            with _opened(path, _READ) as file, _opened(_stamp_path(path), _READ) as stamp:
                if os.read(stamp, 1 << 10) != _stamp(os.fstat(file)):
                    return None
                loaded = load(_path_of(file))
                if loaded is not None and time.time() - os.fstat(stamp).st_mtime > _USE_INTERVAL:
                    with suppress(OSError):
                        os.utime(stamp)
                return loaded
        except OSError:
            return None

    def tidy(self) -> None:
        """Remove what killed processes left, then what is beyond the bounds."""
        if self._folder is None:
            return
        with suppress(OSError):
            entries, leftovers = _listed(self._folder)
            for name, paths in leftovers.items():
                self._remove_leftovers(name, paths)
            self._evict(entries)

    def _trust(self, problem: str | None) -> None:
        """Go on without a folder if there is a problem with it."""
        if problem is not None:
            self._folder = None
            self._report(f"the cache is not used: {problem}")

    def _add(self, name: str, made: int) -> None:
        if self._folder is None:
            return
        path = self._folder / name
        size = os.fstat(made).st_size
        if self._bounds.size is not None and size > self._bounds.size:
            self._report(
                f"{size:,} bytes are not cached: the cache holds {self._bounds.size:,} at most"
            )
            return
        try:
            _write_atomically(path, lambda target: _copy(made, target))
            stamp = _stamp(path.lstat())
            _write_atomically(_stamp_path(path), lambda target: _write(target, stamp))
        except OSError as error:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            self._report(f"nothing is added to the cache: {self._folder}: {error.strerror}")
            return
        self.tidy()

    def _evict(self, entries: list[_Entry]) -> None:
        assert self._folder is not None
        left, size = len(entries), sum(entry.size for entry in entries)
        for entry in sorted(entries):
            is_within = self._bounds.size is None or size <= self._bounds.size
            if left <= self._bounds.entries and is_within:
                return
            path = self._folder / entry.name
            if _removed(_stamp_path(path)) and _removed(path):
                left, size = left - 1, size - entry.size

    def _remove_leftovers(self, name: str, paths: list[Path]) -> None:
        """Remove files of the entry `name`, unless a process that lives is writing them."""
        with self._lock(name, fcntl.LOCK_NB) as is_held:
            if is_held:
                for path in paths:
                    _removed(path)

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        """Hold the lock of an entry while it is made. Without a folder nothing is locked."""
        with self._lock(name, 0):
            yield

    @contextmanager
    def _lock(self, name: str, flags: int) -> Iterator[bool]:
        """Hold the lock of an entry, if it can be taken; yield whether it is held."""
        if self._folder is None:
            yield False
            return
        path = self._folder / f".{name}.lock"
        descriptor = _locked(path, fcntl.LOCK_EX | flags)
        if descriptor is None:
            yield False
            return
        try:
            yield True
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            os.close(descriptor)


def _why_not_made(folder: Path) -> str | None:
    """Make the folder, with its parents, if it is not there; return why it cannot be used."""
    try:
        for each in (*reversed(folder.parents), folder):
            if not each.exists():
                each.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return _why_not_private(folder)


def _why_not_private(folder: Path) -> str | None:
    """Return why the folder cannot be used if it is there and not ours alone, else None."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{folder}: {error.strerror}"
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder}: it is not a folder; remove it, or name another folder"
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        return f"{folder}: others may use it; chmod 700 it, or name another folder"
    return None


def _listed(folder: Path) -> tuple[list[_Entry], dict[str, list[Path]]]:
    """Return the entries in `folder`, and other files by the name of the entry that they are of."""
    entries: list[_Entry] = []
    leftovers: dict[str, list[Path]] = {}
    files = {path.name: path for path in folder.iterdir()}
    for name, path in files.items():
        if name.startswith("."):
            owner = name[1:].removesuffix(".lock").removesuffix(".new")
            if name.endswith(".new"):
                owner = owner.rpartition(".")[0].removesuffix(_STAMP)
            leftovers.setdefault(owner, []).extend([] if name.endswith(".lock") else [path])
        elif name.removesuffix(_STAMP) not in files or (
            not name.endswith(_STAMP) and name + _STAMP not in files
        ):
            leftovers.setdefault(name.removesuffix(_STAMP), []).append(path)
        elif not name.endswith(_STAMP):
            with suppress(OSError):
                used = files[name + _STAMP].lstat().st_mtime_ns
                entries.append(_Entry(used, path.lstat().st_size, name))
    return entries, leftovers


def _removed(path: Path) -> bool:
    """Remove a file, and return whether it is gone.

    One that cannot be removed, such as a folder, keeps no other from being removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _locked(path: Path, operation: int) -> int | None:
    """Return a descriptor that holds the lock at `path`; None where it cannot be had."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, operation)
            # The process that held the lock has removed the file, and another may have made it
            # again: a lock counts only on the file that is there now.
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                return descriptor
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            return None
        os.close(descriptor)


def _write_atomically(path: Path, write: Callable[[int], None]) -> None:
    """Put a whole file in place of `path`, or leave it as it was."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with _opened(new, flags) as descriptor:
            write(descriptor)
            os.fsync(descriptor)
        new.replace(path)
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)


def _copy(source: int, target: int) -> None:
    at, size = 0, os.fstat(source).st_size
    while at < size:
        at += os.sendfile(target, source, at, min(_COPY_BYTES, size - at))


def _write(target: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(target, rest) :]


def anonymous_file(content: bytes) -> int:
    """Return a descriptor of a file in memory that holds `content`."""
    descriptor = os.memfd_create("genvm-cache", os.MFD_CLOEXEC)
    _write(descriptor, content)
    return descriptor


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _path_of(descriptor: int) -> Path:
    """Return a path to an open file: to this one, whatever lies at the path that it has."""
    return Path(f"/proc/self/fd/{descriptor}")


def _stamp_path(path: Path) -> Path:
    return path.with_name(path.name + _STAMP)


def _stamp(status: os.stat_result) -> bytes:
    numbers = status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
    return " ".join(map(str, numbers)).encode()
