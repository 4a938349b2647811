"""The folder that a browser writes to: removed with the browser, or by the next worker's start."""

from __future__ import annotations

import errno
import os
import pwd
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from genvm_manager.base.process.identity import ProcessIdentity, start_ticks

_PREFIX = "genvm-browser"
_NAME = re.compile(rf"{_PREFIX}-(?P<pid>[0-9]+)-(?P<started>[0-9]+)-.*")
_OPEN_TO_ALL = ("/tmp", "/dev/shm")  # noqa: S108 - what is made there is not
_LONGEST = 24
"""Characters of the parent folder's path: Chromium makes a socket below, by a bounded path."""


@contextmanager
def make_profile(user: pwd.struct_passwd | None) -> Iterator[Path]:
    """Make a new, empty folder for a user (None: the worker's); remove it only on an exception.

    It is in the folder for temporary files, or, if the user cannot access that or its path is too
    long for Chromium, in a folder open to all. Raises `OSError` if there is none.
    """
    prefix = f"{_PREFIX}-{os.getpid()}-{start_ticks(os.getpid())}-"
    profile = Path(tempfile.mkdtemp(prefix=prefix, dir=_place(user)))
    try:
        if user is not None:
            os.chown(profile, user.pw_uid, user.pw_gid)
        yield profile
    except BaseException:
        remove_profile(profile)
        raise


def _place(user: pwd.struct_passwd | None) -> str:
    where = tempfile.gettempdir()
    if len(where) <= _LONGEST and (user is None or _is_open(Path(where))):
        return where
    for where in _OPEN_TO_ALL:
        if os.access(where, os.W_OK | os.X_OK):
            return where
    tried = " and ".join(_OPEN_TO_ALL)
    raise OSError(errno.EROFS, f"its files need a place: {tried} cannot be written; mount a tmpfs")


def remove_profile(folder: Path) -> None:
    """Remove a folder; leave what cannot be removed now to `remove_orphaned_profiles`."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_orphaned_profiles() -> None:
    """Remove the folders of workers that have ended, and kill browsers that still use them."""
    for where in {tempfile.gettempdir(), *_OPEN_TO_ALL}:
        for folder in Path(where).glob(f"{_PREFIX}-*"):
            name = _NAME.fullmatch(folder.name)
            if name and not ProcessIdentity(int(name["pid"]), int(name["started"])).is_alive():
                _kill_users(folder)
                remove_profile(folder)


def user_data(profile: Path) -> str:
    """Return the browser's option for its folder."""
    return f"--user-data-dir={profile}"


def _kill_users(profile: Path) -> None:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if user_data(profile) in process.cmdline():
                process.kill()


def _is_open(folder: Path) -> bool:
    """Return whether every user can access files in a folder."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.resolve().parents))
