"""Which file a path means now: to see whether it is still the one that was made there."""

from __future__ import annotations

import os
from pathlib import Path

Inode = tuple[int, int]
"""Device and number. Only while the file is open is its number given to no other file."""


def inode(path: Path) -> Inode | None:
    """Return that of the file, link or folder at the path; None when there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
