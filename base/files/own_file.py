"""Opening the files that we keep in the state folder, whatever lies in their place by now.

Opening a FIFO waits for its other end, for ever where there is none: that must hold up neither the
service nor a command.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat


def open_own(path: str | os.PathLike[str], flags: int) -> int:
    """Return a descriptor of the regular file at the path, made if it is not there.

    A link, a FIFO, a socket or a device in its place is removed. Raises `OSError`, also for a
    folder. `flags`: how to open it.
    """
    with contextlib.suppress(FileNotFoundError):
        kind = os.lstat(path).st_mode
        if stat.S_ISDIR(kind):
            name = os.path.basename(os.fspath(path))
            raise IsADirectoryError(errno.EISDIR, f"a folder is in the place of {name}")
        if not stat.S_ISREG(kind):
            os.unlink(path)
    flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.open(path, flags, mode=0o600)
