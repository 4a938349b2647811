"""Another process supervisor under load: see `benchmarks/rivals`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RIVALS = ("supervisord", "circus")
_SCRIPTS = Path(__file__).parent / "rivals"
_ENVIRONMENTS = Path(".benchmarks/rivals")


class Rival:
    """One that runs, and is asked for figures one at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._answer() == "ready"

    def rate(self, clients: int, seconds: float) -> float:
        """Runs of /bin/true a second, for so many clients."""
        assert self._process.stdin is not None
        print(clients, seconds, file=self._process.stdin, flush=True)
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def rival(name: str) -> Iterator[Rival]:
    """Install one of `RIVALS` where it is not yet, and run it until the end."""
    script = str(_SCRIPTS / f"{name}_load.py")
    with subprocess.Popen(
        [str(_python(name)), script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Rival(process)


def _python(name: str) -> Path:
    """The interpreter of the rival's own environment."""
    folder = _ENVIRONMENTS / name
    python = folder / "bin" / "python"
    if not (folder / "whole").exists():
        print(f"installing {name} …", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        wanted = ["-r", str(_SCRIPTS / f"{name}.txt")]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
        (folder / "whole").touch()
    return python
