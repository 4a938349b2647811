"""Where cgroups are mounted on this machine, and which are ours, from what /proc says."""

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

    @property
    def has_us(self) -> bool:
        """Whether our own cgroup is in the part that is mounted."""
        return self.folder(self.own) is not None

    def folder(self, cgroup: str) -> str | None:
        """Return the folder of a cgroup, or None when it is not in the part that is mounted."""
        top = self.top.rstrip("/")
        if cgroup != top and not cgroup.startswith(f"{top}/"):
            return None
        below = cgroup[len(top) :]
        # With `..` it begins above the cgroup that our namespace calls `/`.
        return None if ".." in below.split("/") else f"{self.mount}{below}".rstrip("/")

    def path(self, cgroup: str) -> list[str]:
        """Return the folders of a cgroup and of those above it that are mounted, top first."""
        folder = self.folder(cgroup)
        return [] if folder is None else self.path_to(folder)

    def path_to(self, folder: str) -> list[str]:
        """Return what `path` does, for a cgroup's folder."""
        found = [folder]
        while len(found[0]) > len(self.mount):
            found.insert(0, found[0].rpartition("/")[0])
        return found

    @property
    def levels_above(self) -> int:
        """How far above our namespace's `/` the mount begins: it was mounted before that began.

        How it goes on from there to our own cgroup has no name here.
        """
        levels = self.top.count("/..")
        return levels if self.top == "/.." * levels else 0


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """The hierarchies in use: cgroups v2, and the memory controller where v1 still has it."""

    unified: Hierarchy | None
    memory: Hierarchy | None


def parse_hierarchies(mounts: str, membership: str) -> Hierarchies:
    """Return the hierarchies that `/proc/self/mountinfo` and `/proc/self/cgroup` describe.

    Of several mounts of one hierarchy the first counts that shows our own cgroup.
    """
    own = dict(_memberships(membership))
    found: dict[str, Hierarchy] = {}
    for line in mounts.splitlines():
        place, _, kind = line.partition(" - ")
        system, _, options = kind.split(" ", 2)
        controller = _controller(system, options.split(","))
        if controller not in own or (controller in found and found[controller].has_us):
            continue
        top, mount = (_unescaped(field) for field in place.split(" ")[3:5])
        hierarchy = Hierarchy(mount, top, own[controller])
        if controller not in found or hierarchy.has_us:
            found[controller] = hierarchy
    return Hierarchies(found.get(""), found.get(_MEMORY))


def _memberships(text: str) -> Iterator[tuple[str, str]]:
    """Yield each controller with our cgroup; the name of the unified hierarchy is empty."""
    for line in text.splitlines():
        _, controllers, cgroup = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, cgroup


def _controller(system: str, options: list[str]) -> str | None:
    if system == "cgroup2":
        return ""
    return _MEMORY if system == "cgroup" and _MEMORY in options else None


def _unescaped(path: str) -> str:
    """Decode a path in which the kernel wrote white space as octal numbers."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), path)
