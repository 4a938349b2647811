"""Finding the delegated root: the cgroup that was given to us to make others in.

No other cgroup is ever touched.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from genvm_manager.base.settings.config import AUTO

from .folder import MEMBERS
from .rules_paths import Hierarchies, Hierarchy, parse_hierarchies

SERVICE = "service"
"""The cgroup below a delegated one where we are ourselves: one that hands controllers on to those
below it may hold no process. systemd can start us there (`DelegateSubgroup=service`)."""

_MARKS = ("user.delegate", "trusted.delegate")
"""What systemd puts on a cgroup that it leaves to the unit; the second is for root's eyes."""


class CgroupUnusable(Exception):
    """There is no cgroup to use, or not the one that was asked for; the message says why."""


@dataclass(frozen=True, slots=True)
class DelegatedRoot:
    """A cgroup that is ours to divide.

    `unified` is its folder in the hierarchy of v2, `memory` that in v1's of the memory controller;
    at least one is there. `holds_us`: this process is in it or in its `service`.
    """

    cgroup: str
    unified: str | None
    memory: str | None
    holds_us: bool


def find_delegated_root(setting: str) -> DelegatedRoot:
    """Return the cgroup that `setting` names, or for `auto` the one that was delegated to us.

    Raises `CgroupUnusable`.
    """
    hierarchies = parse_hierarchies(
        Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text()
    )
    if hierarchies.unified is None and hierarchies.memory is None:
        raise CgroupUnusable("no cgroups are mounted that can be used")
    return _delegated(hierarchies) if setting == AUTO else _named(setting, hierarchies)


def _delegated(hierarchies: Hierarchies) -> DelegatedRoot:
    """Our own cgroup, or the one above it when we are in its `service` already."""
    unified = hierarchies.unified
    if unified is None:
        raise CgroupUnusable("no cgroups v2 are mounted, and those of v1 are never delegated")
    cgroups = [unified.own]
    if os.path.basename(unified.own) == SERVICE:
        cgroups.append(os.path.dirname(unified.own))
    for cgroup in cgroups:
        folder = unified.folder(cgroup)
        if folder is not None and _is_marked(folder):
            _require_ours(folder)
            return DelegatedRoot(cgroup, folder, _twin(cgroup, hierarchies), True)
    raise CgroupUnusable(f"our own cgroup {unified.own} is not delegated to us")


def _twin(cgroup: str, hierarchies: Hierarchies) -> str | None:
    """Where systemd's v1 hierarchies mirror the unified one: the same cgroup among v1's."""
    memory, unified = hierarchies.memory, hierarchies.unified
    if memory is None or unified is None or memory.own not in (cgroup, unified.own):
        return None
    folder = memory.folder(cgroup)
    return folder if folder is not None and _is_ours(folder) else None


def _named(cgroup: str, hierarchies: Hierarchies) -> DelegatedRoot:
    folders = [_existing(cgroup, each) for each in (hierarchies.unified, hierarchies.memory)]
    if not any(folders):
        mounts = [each.mount for each in (hierarchies.unified, hierarchies.memory) if each]
        raise CgroupUnusable(
            f"{cgroup} does not exist below {' or '.join(mounts)}; make it, or name it as "
            "/proc/PID/cgroup does, without the mount's own path"
        )
    for folder in filter(None, folders):
        _require_ours(folder)
    holds_us = folders[0] is not None and _holds_us(cgroup, hierarchies.unified)
    return DelegatedRoot(cgroup, folders[0], folders[1], holds_us)


def _holds_us(cgroup: str, unified: Hierarchy | None) -> bool:
    """Return whether we are in it. Raises `CgroupUnusable` if we may move no process there."""
    assert unified is not None
    if unified.own in (cgroup, f"{cgroup.rstrip('/')}/{SERVICE}"):
        return True
    above = unified.folder(os.path.commonpath((unified.own, cgroup)))
    if above is not None and not os.access(f"{above}/{MEMBERS}", os.W_OK):
        raise CgroupUnusable(
            f"user {os.geteuid()} may not move processes from {unified.own}, where we are, to "
            f"{cgroup}; start the service in {cgroup}"
        )
    return False


def _existing(cgroup: str, hierarchy: Hierarchy | None) -> str | None:
    folder = None if hierarchy is None else hierarchy.folder(cgroup)
    return folder if folder is not None and os.path.isdir(folder) else None


def _is_marked(folder: str) -> bool:
    for mark in _MARKS:
        try:
            if os.getxattr(folder, mark) == b"1":
                return True
        except OSError:
            continue
    return False


def _is_ours(folder: str) -> bool:
    """Whether we may make cgroups in it, and put processes there."""
    return os.access(folder, os.W_OK | os.X_OK) and os.access(f"{folder}/{MEMBERS}", os.W_OK)


def _require_ours(folder: str) -> None:
    if not _is_ours(folder):
        raise CgroupUnusable(f"{folder} is not writable for user {os.geteuid()}")
