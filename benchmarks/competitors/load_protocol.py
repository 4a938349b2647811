"""The protocol between a benchmark and a competitor's script: see the package."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable


def answer_with(
    module: str, config: str, is_up: Callable[[], bool], rate: Callable[[int, float], float]
) -> None:
    """Run `python -m module config`; answer each line of stdin with `rate(clients, seconds)`."""
    command = [sys.executable, "-P", "-m", *module.split(), config]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while not is_up():
                time.sleep(0.05)
            print("ready", flush=True)
            for line in sys.stdin:
                clients, seconds = line.split()
                print(rate(int(clients), float(seconds)), flush=True)
        finally:
            server.terminate()
