"""Another process supervisor under load: see `benchmarks/competitors`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMPETITORS = ("supervisord", "circus")
_SCRIPTS = Path(__file__).parent / "competitors"
_ENVIRONMENTS = Path(".benchmarks/competitors")


class Competitor:
    """A running process supervisor that measures on request."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._answer() == "ready"

    def rate(self, clients: int, seconds: float) -> float:
        """Return the runs of /bin/true per second for so many clients."""
        assert self._process.stdin is not None
        print(clients, seconds, file=self._process.stdin, flush=True)
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def competitor(name: str) -> Iterator[Competitor]:
    """Install one of `COMPETITORS` unless it is installed, and run it until the context ends."""
    script = str(_SCRIPTS / f"{name}_load.py")
    with subprocess.Popen(
        [str(_python(name)), script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Competitor(process)


def _python(name: str) -> Path:
    """Return the interpreter of the competitor's own environment."""
    folder = _ENVIRONMENTS / name
    python = folder / "bin" / "python"
    if not (folder / "whole").exists():
        print(f"installing {name} …", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        wanted = ["-r", str(_SCRIPTS / f"{name}.txt")]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
        (folder / "whole").touch()
    return python
