"""The lock by which at most one supervisor uses a state folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from pathlib import Path

import msgspec

from genvm_manager.base.files.own_file import open_own
from genvm_manager.base.files.state_folder import (
    local_node,
    run_store,
    service_file,
    supervisor_lock,
)
from genvm_manager.base.process.identity import contents
from genvm_manager.base.text.timestamps import to_rfc3339
from genvm_manager.base.validation import NOT_DECODED

_MOST = 64 << 10
"""Most bytes of the lock file that are read."""


class StateFolderUnusable(Exception):
    """The folder cannot be used; the message says why."""


class StateFolderHeld(Exception):
    """Another supervisor holds the folder; the message says which."""


class Holder(msgspec.Struct):
    """The content of the lock file."""

    pid: int
    started_at: float


def prepare_folder(folder: Path) -> None:
    """Make the folder, with access for this user alone. Raise `StateFolderUnusable`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.geteuid():
            raise StateFolderUnusable(f"state folder {folder} belongs to another user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            _close_to_others(folder)
    except OSError as error:
        raise _unusable(folder, error) from None


def _unusable(folder: Path, error: OSError) -> StateFolderUnusable:
    advice = "make room on its disk"
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        advice = "make it writable for this user, or name another one by --state-dir"
    return StateFolderUnusable(f"state folder {folder}: {error.strerror}; {advice}")


def _close_to_others(folder: Path) -> None:
    """Restrict a folder's mode, unless it may be something like /tmp, named by mistake."""
    ours = (supervisor_lock(folder), run_store(folder), service_file(folder), local_node(folder))
    if any(folder.iterdir()) and not any(path.exists() for path in ours):
        raise StateFolderUnusable(
            f"state folder {folder} is open to others and holds files that are not ours; "
            "name a folder of its own"
        )
    folder.chmod(0o700)


class HeldFolder:
    """The state folder while this supervisor holds it: no other one can, by any path.

    One lock is on the folder itself, so that removing a file does not free it. The other is on the
    file `supervisor.lock`, which names the holder and keeps out supervisors of earlier versions.
    """

    def __init__(self, path: Path) -> None:
        """Take both locks. Raise `StateFolderHeld` or `StateFolderUnusable`."""
        self.path = path
        self._lock = -1
        try:
            self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _unusable(path, error) from None
        try:
            _take_folder(self._folder)
            self._lock = _taken_lock(supervisor_lock(path))
        except BlockingIOError:
            self.release()
            raise StateFolderHeld(
                f"state folder {path} is held by {_holder(supervisor_lock(path))}"
            ) from None
        except OSError as error:
            self.release()
            raise _unusable(path, error) from None

    def release(self) -> None:
        """Release both locks."""
        for descriptor in (self._folder, self._lock):
            if descriptor >= 0:
                os.close(descriptor)

    def is_in_place(self) -> bool:
        """Return whether the path still leads to the folder that is held. Raise `OSError`."""
        return _same(os.stat(self.path), os.fstat(self._folder))

    def is_removed(self) -> bool:
        """Return whether the folder that is held was removed, so that no one can use it."""
        return os.fstat(self._folder).st_nlink == 0

    def write_fault(self) -> str | None:
        """Return why the disk refuses writes; None when it does not, as far as can be seen.

        Nothing is written. After a disk error the mount's flags and permissions need not show it.
        """
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            os.pwrite(self._lock, b"", 0)
            os.close(os.open(supervisor_lock(self.path), flags))
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EIO):
                return error.strerror
        return None

    def take_again(self) -> None:
        """Make the removed folder again and hold it. Its files must be written again.

        Raise `StateFolderHeld` or `StateFolderUnusable`.
        """
        if self.path.is_symlink():
            raise StateFolderUnusable(f"{self.path} is a link")
        prepare_folder(self.path)
        renewed = HeldFolder(self.path)
        self.release()
        self._folder, self._lock = renewed._folder, renewed._lock
        os.chdir(self.path)

    def ensure_lock(self) -> bool:
        """Make `supervisor.lock` again when it is not the held one. Return whether that was so.

        Raise `OSError`: `BlockingIOError` when another supervisor holds the file that is there now.
        """
        path = supervisor_lock(self.path)
        with contextlib.suppress(FileNotFoundError):
            if _same(os.lstat(path), os.fstat(self._lock)):
                return False
        renewed = _taken_lock(path)
        os.close(self._lock)
        self._lock = renewed
        return True


def _take_folder(descriptor: int) -> None:
    """Lock the folder. Raise `BlockingIOError` when another supervisor holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        # Network file systems lock only files that are open for writing; a folder cannot be.
        return


def _taken_lock(path: Path) -> int:
    """Return a descriptor of the lock file, locked, with this process written into it."""
    descriptor = open_own(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder = msgspec.json.encode(Holder(os.getpid(), time.time()))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def _holder(path: Path) -> str:
    try:
        holder = msgspec.json.decode(contents(str(path), _MOST), type=Holder)
    except NOT_DECODED:
        return "another supervisor"
    return f"the supervisor with pid {holder.pid}, started {to_rfc3339(holder.started_at)}"
