"""Units and scripts of an earlier version, which start programs by names that are gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from genvm_manager.base.check_result import CheckResult, failure, ok
from genvm_manager.base.old_names import renamed_program

from .installation import Installation

UNIT_FOLDERS = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"))

_UNITS = ("genvm-*.service", "genvm-*.service.d/*.conf")
_SCRIPTS = ("bin/genvm-*", "executor/*/bin/genvm")
_MAX_SIZE = 64 << 10
"""Bytes; a larger file is neither a unit nor a script of ours."""


def old_names(installation: Installation) -> Iterator[CheckResult]:
    """Examine the units of this machine, and the scripts of the tree in force."""
    tree = installation.tree
    units = [path for folder in UNIT_FOLDERS for path in _found(folder, _UNITS)]
    scripts = _found(tree, _SCRIPTS) if tree else []
    yield from examined(units, "run scripts/install again, or change it with systemctl edit")
    yield from examined(scripts, f"run genvm-manager install-root {tree} again")
    if not units and not scripts:
        yield ok("names", "no unit and no tree starts a program by a name that is gone")


def examined(paths: Iterable[Path], step: str) -> Iterator[CheckResult]:
    """Yield a result for each file: whether it starts a program by an old name."""
    for path in paths:
        renamed = renamed_program(path.read_text(errors="replace"))
        if renamed:
            yield failure("names", f"{path}: {renamed}", step)
        else:
            yield ok("names", f"{path} starts programs by their present names")


def _found(folder: Path, patterns: Iterable[str]) -> list[Path]:
    found = (path for pattern in patterns for path in sorted(folder.glob(pattern)))
    return [path for path in found if path.is_file() and path.stat().st_size <= _MAX_SIZE]
