"""supervisord over XML-RPC on a Unix socket: a program per client, started and polled."""

from __future__ import annotations

import tempfile
import threading
import time
import xmlrpc.client
from functools import partial
from pathlib import Path
from typing import Any

from load_protocol import answer_with  # type: ignore[import-not-found]
from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-not-found]

MOST_CLIENTS = 64
_CONFIG = """\
[unix_http_server]
file={folder}/supervisor.sock
[supervisord]
logfile={folder}/log
loglevel=critical
pidfile={folder}/pid
nodaemon=true
user=root
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
_PROGRAM = """\
[program:job{number}]
command=/bin/true
autostart=false
autorestart=false
startsecs=0
stdout_logfile=NONE
stderr_logfile=NONE
"""


def rate(folder: Path, clients: int, seconds: float) -> float:
    """Return the finished runs per second."""
    counts = [0] * clients
    ends = time.perf_counter() + seconds

    def client(number: int) -> None:
        asked = proxy(folder).supervisor
        name = f"job{number}"
        while time.perf_counter() < ends:
            asked.startProcess(name, False)
            while asked.getProcessInfo(name)["statename"] != "EXITED":
                pass
            counts[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def proxy(folder: Path) -> Any:
    """Return a client."""
    transport = SupervisorTransport(None, None, f"unix://{folder}/supervisor.sock")
    return xmlrpc.client.ServerProxy("http://localhost", transport=transport)


def is_up(folder: Path) -> bool:
    """Return whether supervisord answers."""
    try:
        return bool(proxy(folder).supervisor.getState()["statename"] == "RUNNING")
    except OSError:
        return False


def main() -> None:
    """Run supervisord and measure on request."""
    with tempfile.TemporaryDirectory(prefix="genvm-bench-") as name:
        folder = Path(name)
        programs = "".join(_PROGRAM.format(number=number) for number in range(MOST_CLIENTS))
        config = folder / "supervisord.conf"
        config.write_text(_CONFIG.format(folder=folder) + programs)
        answer_with(
            "supervisor.supervisord -c", str(config), partial(is_up, folder), partial(rate, folder)
        )


if __name__ == "__main__":
    main()
