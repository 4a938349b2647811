"""The names that the project's programs had before they moved below `genvm_manager`."""

from __future__ import annotations

import re

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


def renamed_program(command: str) -> str | None:
    """Return a sentence about the first old name that `command` starts; None: it starts none.

    `command` is a command line, a script or a unit, as text.
    """
    for match in _STARTED.finditer(command):
        if new := RENAMED.get(match["name"]):
            return f"`-m {match['name']}` is now `-m {new}`"
    return None
