"""Where compiled contracts are kept: chosen once by a service, and handed to all that it starts.

The executor pays for this module's imports at each start, so it keeps to the light ones.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

CACHE_DIR_VARIABLE = "GENVM_CACHE_DIR"
CACHE_BYTES_VARIABLE = "GENVM_CACHE_BYTES"

DEFAULT_CACHE_BYTES = 2 << 30
MAX_CACHE_BYTES = 1 << 50

_NAME = "genvm-manager"
_PROBE = bytes(4096)


class CacheFolder(NamedTuple):
    """The folder for compiled contracts; `note` says why it is not the usual one, or not of use."""

    path: Path
    note: str | None = None


def home_folder(environment: Mapping[str, str]) -> Path | None:
    """Return `$HOME`, else what the system's list of users says; None without either."""
    if home := environment.get("HOME"):
        return Path(home)
    import pwd  # noqa: PLC0415 (seldom needed)

    with suppress(KeyError):
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    return None


def usual_cache_folder(environment: Mapping[str, str]) -> Path | None:
    """Return `$GENVM_CACHE_DIR`, else `genvm-manager` in `$XDG_CACHE_HOME` or `~/.cache`.

    None where none of them is known.
    """
    if chosen := environment.get(CACHE_DIR_VARIABLE):
        return Path(chosen).absolute()
    base = environment.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / _NAME
    home = home_folder(environment)
    return home and (home / ".cache" / _NAME).absolute()


def choose_cache_folder(environment: Mapping[str, str], state_folder: Path) -> CacheFolder:
    """Return the usual folder, or `cache` in the state folder where that cannot be written.

    Nothing is made or changed.
    """
    usual = usual_cache_folder(environment)
    if usual is None:
        note = "HOME is not set and this user has no home"
    else:
        problem = why_unusable(usual)
        if problem is None:
            return CacheFolder(usual)
        note = f"nothing can be kept in {usual} ({problem})"
    instead = state_folder.absolute() / "cache"
    worse = why_unusable(instead)
    if worse is None:
        return CacheFolder(instead, note)
    note = f"{note}, nor in {instead} ({worse}): runs compile anew what is not there"
    return CacheFolder(usual if usual is not None and os.path.isdir(usual) else instead, note)


def why_unusable(folder: Path) -> str | None:
    """Return why nothing can be kept in `folder`, which need not be there yet; None if it can."""
    try:
        place = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
        status = place.lstat()
        if place == folder:
            if not stat.S_ISDIR(status.st_mode):
                return "it is not a folder"
            if status.st_uid != os.geteuid() or status.st_mode & 0o022:
                return "it may be changed by others; chmod 700 it"
        _try_to_write(place)
    except OSError as error:
        return f"{error.filename or folder}: {error.strerror}"
    return None


def _try_to_write(folder: Path) -> None:
    """Write to a file without a name. Raises `OSError` as any writing there would."""
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        knows_no_such_files = error.errno in (errno.EISDIR, errno.EOPNOTSUPP)
        if knows_no_such_files and os.access(folder, os.W_OK | os.X_OK):
            return
        raise
    try:
        os.write(descriptor, _PROBE)
        os.fsync(descriptor)
    except OSError as error:
        error.filename = str(folder)
        raise
    finally:
        os.close(descriptor)
