"""Where cgroups lie on this machine, and where we are in them, by what /proc says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MEMORY = "memory"
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One tree of cgroups: the part below `top` is mounted at `mount`, and we are in `own`."""

    mount: str
    top: str
    own: str

    def folder(self, cgroup: str) -> str | None:
        """Where a cgroup lies; None when that is no part of what is mounted."""
        top = self.top.rstrip("/")
        if cgroup != top and not cgroup.startswith(f"{top}/"):
            return None
        return f"{self.mount}{cgroup[len(top) :]}".rstrip("/")


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Those that matter to us: cgroups v2, and the memory controller where v1 still has it."""

    unified: Hierarchy | None
    memory: Hierarchy | None


def parse_hierarchies(mounts: str, membership: str) -> Hierarchies:
    """By `/proc/self/mountinfo` and `/proc/self/cgroup`."""
    own = dict(_memberships(membership))
    found: dict[str, Hierarchy] = {}
    for line in mounts.splitlines():
        place, _, kind = line.partition(" - ")
        system, _, options = kind.split(" ", 2)
        controller = _controller(system, options.split(","))
        if controller in own and controller not in found:
            top, mount = (_unescaped(field) for field in place.split(" ")[3:5])
            found[controller] = Hierarchy(mount, top, own[controller])
    return Hierarchies(found.get(""), found.get(_MEMORY))


def _memberships(text: str) -> Iterator[tuple[str, str]]:
    """For each controller the cgroup that we are in; the unified hierarchy goes without a name."""
    for line in text.splitlines():
        _, controllers, cgroup = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, cgroup


def _controller(system: str, options: list[str]) -> str | None:
    if system == "cgroup2":
        return ""
    return _MEMORY if system == "cgroup" and _MEMORY in options else None


def _unescaped(path: str) -> str:
    """What the kernel wrote with octal numbers for white space."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), path)
