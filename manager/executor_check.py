"""Compiling the built-in executor's guest before the first contract has to wait for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from protocol.config import Config

_BUILTIN = "workers.genvm"


def uses_builtin_executor(config: Config, manifest_path: Path | None) -> bool:
    """Whether runs may use it: our own manifest is in force, or another that names it."""
    path = manifest_path or (Path(config.manifest_path) if config.manifest_path else None)
    if path is None and config.root is not None:
        path = Path(config.root) / "data" / "manifest.yaml"
    if path is None:
        return True
    try:
        return _BUILTIN in path.read_text(errors="replace")
    except OSError:
        return False


class ExecutorCheck:
    """`workers.genvm check --precompile` under way; leaving the context ends it."""

    def __init__(self) -> None:
        """It shows its progress on our stderr."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _BUILTIN, "check", "--precompile"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> ExecutorCheck:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    def ended(self, within: float) -> bool:
        """Whether it has ended, at the latest so many seconds from now."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True
