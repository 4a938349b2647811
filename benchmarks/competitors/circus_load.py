"""circus over ZeroMQ: watchers of up to eight processes, started and polled until stopped."""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from circus.client import CircusClient  # type: ignore[import-not-found]
from circus.exc import CallError  # type: ignore[import-not-found]
from load_protocol import answer_with  # type: ignore[import-not-found]

BATCH = 8
MOST_WATCHERS = 8
TIMEOUT = 10.0
"""Seconds for one command."""

_CONFIG = """\
[circus]
check_delay = 0.01
endpoint = ipc://{folder}/endpoint
pubsub_endpoint = ipc://{folder}/pubsub
statsd = false
"""
_WATCHER = """\
[watcher:{name}]
cmd = /bin/true
numprocesses = {processes}
autostart = false
respawn = false
max_retry = -1
warmup_delay = 0
"""


def watchers(clients: int) -> list[str]:
    """Return one watcher with a process for each client, or several with a batch each."""
    if clients <= BATCH:
        return [f"of{clients}"]
    return [f"batch{number}" for number in range(clients // BATCH)]


def rate(folder: Path, clients: int, seconds: float) -> float:
    """Return the finished runs per second."""
    names = watchers(clients)
    counts = [0] * len(names)
    began = time.perf_counter()
    latest = [began] * len(names)

    def client(number: int) -> None:
        asked = connected(folder)
        # With many clients circus sometimes never answers a command, or leaves a watcher between
        # start and stop: that client has done no more.
        with suppress(CallError, TimeoutError):
            while latest[number] < began + seconds:
                # circus carries out one command at a time; it refuses another one meanwhile.
                until("ok", asked, "start", names[number], waiting=True)
                until("stopped", asked, "status", names[number])
                counts[number] += min(clients, BATCH)
                latest[number] = time.perf_counter()
        asked.stop()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / max(seconds, max(latest) - began)


def until(status: str, client: Any, command: str, name: str, **more: Any) -> None:
    """Send a command until it is answered with this status. Raises `TimeoutError`."""
    gives_up = time.perf_counter() + TIMEOUT
    while client.send_message(command, name=name, **more)["status"] != status:
        if time.perf_counter() > gives_up:
            raise TimeoutError


def connected(folder: Path) -> Any:
    """Return a client."""
    return CircusClient(endpoint=f"ipc://{folder}/endpoint", timeout=TIMEOUT)


def is_up(folder: Path) -> bool:
    """Return whether circus answers."""
    client = CircusClient(endpoint=f"ipc://{folder}/endpoint", timeout=1)
    try:
        return bool(client.send_message("numwatchers")["status"] == "ok")
    except CallError:
        return False
    finally:
        client.stop()


def main() -> None:
    """Run circus and measure on request."""
    with tempfile.TemporaryDirectory(prefix="genvm-bench-") as name:
        folder = Path(name)
        sections = [_WATCHER.format(name=f"of{size}", processes=size) for size in (1, BATCH)]
        sections += [
            _WATCHER.format(name=f"batch{number}", processes=BATCH)
            for number in range(MOST_WATCHERS)
        ]
        config = folder / "circus.ini"
        config.write_text(_CONFIG.format(folder=folder) + "".join(sections))
        answer_with("circus.circusd", str(config), partial(is_up, folder), partial(rate, folder))


if __name__ == "__main__":
    main()
