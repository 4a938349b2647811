"""The last run id, kept beside the store, so that ids continue even when the store is gone."""

from __future__ import annotations

import os
from pathlib import Path

from genvm_manager.base.files.own_file import open_own
from genvm_manager.base.process.identity import contents

RESERVED_AT_ONCE = 1_000
"""Ids that are reserved on the disk at once, so that not each run waits for the disk."""

_SIZE = 64


class LastRunId:
    """A small file with two numbers: the last id given, and up to where ids are reserved.

    The first is exact after the supervisor was killed, the second also after a loss of power. Not
    thread safe: it belongs to the store's writer.
    """

    def __init__(self, path: Path) -> None:
        """Read what the previous supervisor has left."""
        self._path = path
        self._descriptor = -1
        self.given, self.reserved = _parsed(contents(str(path), _SIZE))
        self.is_behind = False
        """Whether an id was reserved after the last one that was given."""

    def continues(self, on_record: int) -> int:
        """Return the id after which new ones begin, if the store has ids up to `on_record`."""
        is_behind = on_record < self.given or on_record == 0
        return max(self.reserved, on_record) if is_behind else on_record

    def reserve(self, run_id: int) -> None:
        """Record on the disk that this id may be given. Raise `OSError`."""
        self.is_behind = True
        if run_id > self.reserved:
            self._put(self.given, run_id + RESERVED_AT_ONCE, must_last=True)

    def give(self, run_id: int) -> None:
        """Note that this id, reserved and on record, is given. Raise `OSError`."""
        self.is_behind = False
        if run_id > self.given:
            self._put(run_id, self.reserved, must_last=False)

    def ensure(self) -> None:
        """Write the file again when it was removed or replaced. Raise `OSError`."""
        if self.reserved and not self._is_in_place():
            self.close()
            self._put(self.given, self.reserved, must_last=True)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _put(self, given: int, reserved: int, *, must_last: bool) -> None:
        if self._descriptor < 0:
            self._descriptor = open_own(self._path, os.O_WRONLY)
        # One write within one page: a kill leaves the old line or the new one.
        os.pwrite(self._descriptor, b"%-30d %-32d\n" % (given, reserved), 0)
        if must_last:
            os.fsync(self._descriptor)
        self.given, self.reserved = given, reserved

    def _is_in_place(self) -> bool:
        if self._descriptor < 0:
            return self._path.is_file() and not self._path.is_symlink()
        try:
            found, ours = os.lstat(self._path), os.fstat(self._descriptor)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino) and found.st_size > 0


def _parsed(content: bytes) -> tuple[int, int]:
    """Return both numbers; zeros for a file that is missing or holds something else."""
    numbers = content.split()
    if len(numbers) != 2 or not all(number.isdigit() for number in numbers):
        return 0, 0
    return int(numbers[0]), int(numbers[1])
