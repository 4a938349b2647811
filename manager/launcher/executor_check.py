"""Compiling the built-in executor's guest before the first contract has to wait for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from genvm_manager.base.settings.config import Config

_BUILTIN = "genvm_manager.workers.genvm"

_MAX_REPORT = 64 << 10
_HEAD = 64 << 10
"""Bytes of a file in which the name is looked for: an executor may be a program of many MiB."""


def uses_builtin_executor(config: Config, root: Path | None, manifest_path: Path | None) -> bool:
    """Whether runs may use it: our own manifest is in force, or a manifest or a program of the
    tree names it. `root` and `manifest_path` go before those of the configuration."""
    root = root or (Path(config.root) if config.root else None)
    path = manifest_path or (Path(config.manifest_path) if config.manifest_path else None)
    if root is None:
        return path is None or _names_it(path)
    manifest = path or root / "data" / "manifest.yaml"
    return any(_names_it(each) for each in (manifest, *root.glob("executor/*/bin/genvm")))


def _names_it(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _BUILTIN.encode() in file.read(_HEAD)
    except OSError:
        return False


class ExecutorCheck:
    """`workers.genvm check --precompile` under way; to be ended unless it has ended by itself."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """It has the variables that runs will have, and shows its progress on our stderr."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _BUILTIN, "check", "--precompile"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # Ctrl-C is for us; but in our session: what falls to us from others is in none of ours.
            process_group=0,
        )
        self._report: str | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    def said(self, word: str) -> list[str]:
        """Once it has ended: what follows `word` in the lines of its report that begin with it."""
        if self._report is None:
            assert self._process.stdout is not None
            self._report = self._process.stdout.read(_MAX_REPORT).decode("utf-8", "replace")
        lines = [line.partition(" ") for line in self._report.splitlines()]
        return [rest.strip() for first, _, rest in lines if first == word]

    def close(self) -> None:
        """Kill it with its group, unless it has ended, and let go of it."""
        if not self.ended():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def ended(self) -> bool:
        """Return whether it has ended."""
        return self._process.poll() is not None
