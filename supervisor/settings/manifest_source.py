"""The manifest in force, and where it comes from."""

from __future__ import annotations

import asyncio
import importlib.resources
import sys
from importlib.resources.abc import Traversable
from pathlib import Path

from genvm_manager.base.errors import RequestFailed
from genvm_manager.base.old_names import renamed_in_script

from .rules_environment import Environment
from .rules_manifest import CommandContext, Executor, Manifest, parse_manifest

MAX_SIZE = 4 << 20
"""Bytes of the longest manifest that is read."""


class ManifestSource:
    """Reads the manifest once, and again when asked. `current` is always a whole, good one."""

    def __init__(self, path: Path | None, root: Path | None, environment: Environment) -> None:
        """Without a path it is `data/manifest.yaml` of `root`, without both the package's own.

        Raises `RequestFailed` that says what is wrong with it.
        """
        self._place: Traversable | Path
        if path is not None:
            self._place = path.absolute()
        elif root is not None:
            self._place = root.absolute() / "data" / "manifest.yaml"
        else:
            self._place = importlib.resources.files(__package__) / "manifest.yaml"
        self._root = str(root.absolute()) if root else None
        self._environment = environment
        self._reloading = asyncio.Lock()
        self.current = self._read()

    async def reload(self) -> None:
        """Read it anew. Raises `RequestFailed`; the old one stays in force then."""
        async with self._reloading:
            self.current = await asyncio.to_thread(self._read)

    def _read(self) -> Manifest:
        try:
            with self._place.open("rb") as file:
                content = file.read(MAX_SIZE + 1)
        except OSError as error:
            raise RequestFailed(f"manifest: {self._place}: {error.strerror}") from None
        if len(content) > MAX_SIZE:
            raise RequestFailed(f"manifest: {self._place}: longer than {MAX_SIZE} bytes")
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise RequestFailed(f"manifest: {self._place}: {error}") from None
        context = CommandContext(sys.executable, self._root, self._environment)
        manifest = parse_manifest(text, context)
        for executor in manifest.executors:
            _check_scripts(executor)
        return manifest


def _check_scripts(executor: Executor) -> None:
    """Raise `RequestFailed` if a script of the command starts a program by an old name."""
    for path in filter(Path.is_absolute, map(Path, executor.command)):
        if path.is_file() and (renamed := renamed_in_script(path)):
            step = "change it there, or remove it and run genvm-manager install-root again"
            raise RequestFailed(f"manifest: {executor.version}: {path}: {renamed}; {step}")
