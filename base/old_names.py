"""The names that the project's programs had before they moved below `genvm_manager`."""

from __future__ import annotations

import re
from pathlib import Path

RENAMED = {
    "manager.cli": "genvm_manager.manager.cli",
    "manager.cli.genvm_modules": "genvm_manager.manager.cli.genvm_modules",
    "manager.http": "genvm_manager.manager.server",
    "supervisor": "genvm_manager.supervisor",
    "supervisor.check": "genvm_manager.supervisor.check",
    "workers.genvm": "genvm_manager.workers.genvm",
    "workers.web.check": "genvm_manager.workers.web.check",
}
"""What stood after `python -m` until 0.1.0, and what stands there now."""

_STARTED = re.compile(r"(?<![\w-])-[A-Za-z]*m\s*(?P<name>[\w.]+)(?![\w.])")

_SCRIPT_HEAD = 4096
"""Bytes of a script in which an old name is looked for."""


def renamed_program(command: str) -> str | None:
    """Return a sentence about the first old name that `command` starts; None: it starts none.

    `command` is a command line, a script or a unit, as text.
    """
    for match in _STARTED.finditer(command):
        if new := RENAMED.get(match["name"]):
            return f"`-m {match['name']}` is now `-m {new}`"
    return None


def renamed_in_script(path: Path) -> str | None:
    """Return `renamed_program` of a script; None for a file that is none or cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_SCRIPT_HEAD)
    except OSError:
        return None
    return renamed_program(head.decode("utf-8", "replace")) if head.startswith(b"#!") else None
