"""Checks for units and scripts of an earlier version, which use old names of programs."""

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
"""Bytes; a larger file is neither a unit nor a script of this project."""


def old_names(installation: Installation) -> Iterator[CheckResult]:
    """Check the units of this machine, and the scripts of the root."""
    root = installation.effective_root
    units = [path for folder in UNIT_FOLDERS for path in _found(folder, _UNITS)]
    scripts = _found(root, _SCRIPTS) if root else []
    yield from check_files(units, "run scripts/install again, or change it with systemctl edit")
    again = f"change it there, or remove it and run genvm-manager install-root {root} again"
    yield from check_files(scripts, again)
    if not units and not scripts:
        yield ok("names", "no unit and no root starts a program by an old name")


def check_files(paths: Iterable[Path], step: str) -> Iterator[CheckResult]:
    """Yield a result for each file: whether it starts a program by an old name."""
    for path in paths:
        renamed = renamed_program(path.read_text(errors="replace"))
        if renamed:
            yield failure("names", f"{path}: {renamed}", step)
        else:
            yield ok("names", f"{path} starts programs by their current names")


def _found(folder: Path, patterns: Iterable[str]) -> list[Path]:
    found = (path for pattern in patterns for path in sorted(folder.glob(pattern)))
    return [path for path in found if path.is_file() and path.stat().st_size <= _MAX_SIZE]
