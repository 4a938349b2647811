"""Compiling the built-in executor's guest before the first contract has to wait for it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from genvm_manager.base.process.killing import signal_group
from genvm_manager.base.settings.config import Config

from .errors import ServiceFailed

_BUILTIN = "genvm_manager.workers.genvm"

_MAX_REPORT = 64 << 10
_HEAD = 64 << 10
"""Bytes of a file in which the name is looked for: an executor may be a program of many MiB."""


def uses_builtin_executor(config: Config, root: Path | None, manifest_path: Path | None) -> bool:
    """Return whether runs may use it: our own manifest is in force, or a manifest or a program of
    the tree names it. `root` and `manifest_path` replace those of the configuration.
    """
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
    """The command `workers.genvm check --precompile` while it runs; close it in any case."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start it with the variables that runs will have; it shows its progress on our stderr."""
        self.began_at = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _BUILTIN, "check", "--precompile"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # Its own process group, so that Ctrl-C does not reach it; but our session, so that it
            # is not taken for a child that a dead half has left to us.
            process_group=0,
        )

    @property
    def pid(self) -> int:
        """Its pid, which stays its own until `close`."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Return whether it has ended by itself."""
        return self._process.poll() is not None

    def raise_if_broken(self, report: Callable[[str], None]) -> None:
        """Once it has ended: report why contracts cannot be kept compiled, if they cannot.

        Raises `ServiceFailed` when the executor does not work.
        """
        assert self._process.stdout is not None
        text = self._process.stdout.read(_MAX_REPORT).decode("utf-8", "replace")
        lines = [line.partition(" ") for line in text.splitlines()]
        if self._process.returncode:
            why = "; ".join(_said("broken", lines)) or f"exit code {self._process.returncode}"
            raise ServiceFailed(
                f"the built-in executor does not work: {why}; mend that, or start without it "
                "by --no-precompile"
            )
        for reason in _said("uncached", lines):
            report(f"runs compile their contracts anew: {reason}")

    def close(self) -> None:
        """Kill it with its group, unless it has ended, and release its pid."""
        if not self.has_ended():
            signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def _said(word: str, lines: list[tuple[str, str, str]]) -> list[str]:
    """Return what follows `word` in the lines that begin with it."""
    return [rest.strip() for first, _, rest in lines if first == word]
