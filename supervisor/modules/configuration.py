"""Reading a module's default configuration from its YAML file."""

from __future__ import annotations

import asyncio
import importlib.resources
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from genvm_manager.base.errors import RequestFailed
from genvm_manager.base.text.yaml_text import Refused, load_yaml
from genvm_manager.protocol.ipc.modules import ModuleKind

from .rules_configuration import MAX_SIZE


class ConfigurationFiles:
    """The files `genvm-module-<kind>.yaml`: of the first folder that has it, else the package's."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    async def read(self, kind: ModuleKind) -> dict[str, Any]:
        """Read the file and return what it says. Raises `RequestFailed` naming the file."""
        return await asyncio.to_thread(self._read, kind)

    def name(self, kind: ModuleKind) -> str:
        """Return the file's path, for messages."""
        return str(self._place(kind))

    def _place(self, kind: ModuleKind) -> Traversable | Path:
        name = f"genvm-module-{kind}.yaml"
        for folder in self._folders:
            if (theirs := folder / name).exists():
                return theirs
        return importlib.resources.files("genvm_manager.workers") / kind / name

    def _read(self, kind: ModuleKind) -> dict[str, Any]:
        place = self._place(kind)
        try:
            with place.open("rb") as file:
                text = file.read(MAX_SIZE + 1)
            if len(text) > MAX_SIZE:
                raise RequestFailed(f"{place}: longer than {MAX_SIZE} bytes")
            value = load_yaml(text) or {}
        except OSError as error:
            raise RequestFailed(f"{place}: {error.strerror}") from None
        except Refused as error:
            raise RequestFailed(f"{place}: not YAML that is supported: {error}") from None
        except yaml.YAMLError as error:
            raise RequestFailed(f"{place}: not YAML{_where(error)}") from None
        if not isinstance(value, dict):
            raise RequestFailed(f"{place}: expected a map, got {type(value).__name__}")
        return value


def _where(error: Exception) -> str:
    """Position of the YAML syntax error. The text there may be a key, so it is not shown."""
    mark = getattr(error, "problem_mark", None)
    return f", at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
