"""Making room for the cgroups of runs, below the one that is ours, and saying what that gives."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.process.identity import contents
from genvm_manager.base.settings.config import AUTO

from .delegated_root import SERVICE, CgroupUnusable, DelegatedRoot, find_base
from .folder import MEMBERS, own_members, remove, write
from .leftovers import forget_homes, home_name, note_homes
from .memory import LEGACY, UNIFIED
from .run_cgroup import Slice

_SUBTREE = "cgroup.subtree_control"
_MOVE_TIMEOUT = 5.0
"""Seconds for moving ourselves and whoever is beside us into `service`."""


def make_homes(setting: str | None, state_folder: str, log: EventLog) -> tuple[Slice, ...]:
    """For this supervisor's runs, at most one in each hierarchy; none where there can be none.

    Raises `CgroupUnusable` when the setting names a cgroup that cannot be used.
    """
    if setting is None:
        return _none("the setting cgroup is null", log)
    try:
        base = find_base(setting)
        homes = _homes(base, log)
        note_homes(state_folder, [home.folder for home in homes])
        _make(homes)
    except (CgroupUnusable, OSError) as error:
        if setting == AUTO:
            return _none(str(error), log)
        raise CgroupUnusable(f"cgroup: {error}") from None
    log.info(
        "run_cgroups", cgroup=base.cgroup, kill="v1" if base.unified is None else "v2",
        memory=next((home.memory.name for home in homes if home.memory), "sampled"),
    )  # fmt: skip
    return homes


def _none(why: str, log: EventLog) -> tuple[Slice, ...]:
    log.info("no_run_cgroups", why=why)
    return ()


def discard_homes(homes: tuple[Slice, ...], state_folder: str) -> None:
    """Remove what `make_homes` has made; what is still in use is left to the shim."""
    if remove(home.folder for home in homes):
        forget_homes(state_folder)


def _homes(base: DelegatedRoot, log: EventLog) -> tuple[Slice, ...]:
    name = home_name()
    homes = []
    if base.unified is not None:
        memory = UNIFIED if _hands_on_memory(base.unified, base.is_home, log) else None
        homes.append(Slice(f"{base.unified}/{name}", memory))
    if base.memory is not None:
        homes.append(Slice(f"{base.memory}/{name}", LEGACY))
    return tuple(homes)


def _make(homes: tuple[Slice, ...]) -> None:
    try:
        for home in homes:
            os.mkdir(home.folder)
            if home.memory is UNIFIED:
                write(home.folder, _SUBTREE, "+memory")
    except OSError:
        remove(home.folder for home in homes)
        raise


def _hands_on_memory(folder: str, is_home: bool, log: EventLog) -> bool:
    """Have v2's memory controller at work below `folder`; False when it cannot be had."""
    if b"memory" not in contents(f"{folder}/cgroup.controllers", 4096).split():
        return False
    try:
        # The root of all may hold processes all the same, and has no type.
        if is_home and os.path.exists(f"{folder}/cgroup.type"):
            _vacate(folder)
        write(folder, _SUBTREE, "+memory")
    except OSError as error:
        log.warning("run_memory_not_bounded", cgroup=folder, error=error.strerror)
        return False
    return True


def _vacate(folder: str) -> None:
    """Move all that is in it to its `service`: us, our shim, whoever was started with us."""
    leaf = f"{folder}/{SERVICE}"
    with suppress(FileExistsError):
        os.mkdir(leaf)
    deadline = time.monotonic() + _MOVE_TIMEOUT
    while (pids := own_members(folder)) and time.monotonic() < deadline:
        for pid in pids:
            with suppress(ProcessLookupError):
                write(leaf, MEMBERS, pid)
