"""Making the slices: the cgroups, below the delegated root, that hold those of runs."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.process.identity import contents
from genvm_manager.base.settings.config import AUTO

from .delegated_root import SERVICE, CgroupUnusable, DelegatedRoot, find_delegated_root
from .folder import MEMBERS, own_members, remove, write
from .leftovers import forget_slices, record_slices, slice_name
from .memory import LEGACY, UNIFIED
from .run_cgroup import Slice

_SUBTREE = "cgroup.subtree_control"
_MOVE_TIMEOUT = 5.0
"""Seconds for moving ourselves, and other processes of our cgroup, into `service`."""


def make_slices(setting: str | None, state_folder: str, log: EventLog) -> tuple[Slice, ...]:
    """Make this supervisor's slices, at most one in each hierarchy, and return them.

    There may be none. Raises `CgroupUnusable` when the setting names a cgroup that cannot be used.
    """
    if setting is None:
        return _none("the setting cgroup is null", log)
    try:
        root = find_delegated_root(setting)
        slices = _slices(root, log)
        record_slices(state_folder, [each.folder for each in slices])
        _make(slices)
    except (CgroupUnusable, OSError) as error:
        if setting == AUTO:
            return _none(str(error), log)
        raise CgroupUnusable(f"cgroup: {error}") from None
    log.info(
        "run_cgroups", cgroup=root.cgroup, kill="v1" if root.unified is None else "v2",
        memory=next((each.memory.name for each in slices if each.memory), "sampled"),
    )  # fmt: skip
    return slices


def _none(why: str, log: EventLog) -> tuple[Slice, ...]:
    log.info("no_run_cgroups", why=why)
    return ()


def discard_slices(slices: tuple[Slice, ...], state_folder: str) -> None:
    """Remove the slices; what is still in use is left to the shim."""
    if remove(each.folder for each in slices):
        forget_slices(state_folder)


def _slices(root: DelegatedRoot, log: EventLog) -> tuple[Slice, ...]:
    name = slice_name()
    slices = []
    if root.unified is not None:
        memory = UNIFIED if _hands_on_memory(root.unified, root.holds_us, log) else None
        slices.append(Slice(f"{root.unified}/{name}", memory))
    if root.memory is not None:
        slices.append(Slice(f"{root.memory}/{name}", LEGACY))
    return tuple(slices)


def _make(slices: tuple[Slice, ...]) -> None:
    try:
        for each in slices:
            os.mkdir(each.folder)
            if each.memory is UNIFIED:
                write(each.folder, _SUBTREE, "+memory")
    except OSError:
        remove(each.folder for each in slices)
        raise


def _hands_on_memory(folder: str, holds_us: bool, log: EventLog) -> bool:
    """Enable v2's memory controller below `folder`; return False when it cannot be enabled."""
    if b"memory" not in contents(f"{folder}/cgroup.controllers", 4096).split():
        return False
    try:
        # Only a cgroup without processes may hand controllers on; the root of all, which has no
        # type, is exempt.
        if holds_us and os.path.exists(f"{folder}/cgroup.type"):
            _vacate(folder)
        write(folder, _SUBTREE, "+memory")
    except OSError as error:
        log.warning("run_memory_not_bounded", cgroup=folder, error=error.strerror)
        return False
    return True


def _vacate(folder: str) -> None:
    """Move all that is in it to its `service`: us, our shim, what was started with us."""
    leaf = f"{folder}/{SERVICE}"
    with suppress(FileExistsError):
        os.mkdir(leaf)
    deadline = time.monotonic() + _MOVE_TIMEOUT
    while (pids := own_members(folder)) and time.monotonic() < deadline:
        for pid in pids:
            with suppress(ProcessLookupError):
                write(leaf, MEMBERS, pid)
