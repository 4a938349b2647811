"""A flag that a process has in common with those that it forks."""

from __future__ import annotations

import mmap


class SharedFlag:
    """One byte of shared memory: no lock, no descriptor, and nothing that a fork could break."""

    def __init__(self) -> None:
        """Make a flag that is not set, in the process that will fork."""
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Set it, for all processes."""
        self._byte[0] = 1

    def clear(self) -> None:
        """Clear it, for all processes."""
        self._byte[0] = 0

    def __bool__(self) -> bool:
        return self._byte[0] == 1
