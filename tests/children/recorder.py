"""Records in a folder what happens to it while it acts as a neighbour: `recorder.py FOLDER NAME …`.

The folder has a file for each run id, of lines: `begun NAME INSTANCE PID TICKS`,
`forked PID TICKS`, `sends LENGTH CRC` before a result is handed in, `answered LENGTH CRC` once its
answer has come.
NAME is in the orders, which are JSON in the call's calldata.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import zlib
from typing import Any

import executor_line

_ORDERS = re.compile(rb'\{"name": .*?\}')


def orders() -> dict[str, Any]:
    """Return what this run is to do; its stdin stays unread."""
    stdin = os.pread(0, os.fstat(0).st_size, 0)
    found = _ORDERS.search(stdin)
    return json.loads(found[0]) if found else {}


def record(line: str) -> None:
    """Add a line to this run's recording, in one write, so that it is there whole or not at all."""
    file = os.open(_PATH, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def _self() -> str:
    with open("/proc/self/stat", "rb") as file:
        ticks = int(file.read().rpartition(b")")[2].split()[19])
    return f"{os.getpid()} {ticks}"


def _consume_result(result: bytes) -> None:
    what = f"{len(result)} {zlib.crc32(result)}"
    record(f"sends {what}")
    os.write(executor_line.result_fd(), b"\x06" + len(result).to_bytes(4, "little"))
    rest = memoryview(result)
    while rest:
        rest = rest[os.write(executor_line.result_fd(), rest) :]
    if os.read(executor_line.result_fd(), 1) == b"\0":
        record(f"answered {what}")


def _fork() -> int:
    pid = _real_fork()
    if pid == 0:
        record(f"forked {_self()}")
    return pid


if __name__ == "__main__":
    _, folder, neighbour, *rest = sys.argv
    sys.argv[1:] = rest
    _PATH = f"{folder}/{rest[-1].removeprefix('--genvm-id=')}"
    _NAME = orders()["name"]
    record(f"begun {_NAME} {os.environ['GENVM_RUN_TOKEN'].rpartition('.')[0]} {_self()}")
    _real_fork, os.fork = os.fork, _fork
    executor_line.consume_result = _consume_result
    sys.modules["recorder"] = sys.modules["__main__"]
    os.write(1, f"{_NAME}\n".encode())
    importlib.import_module(neighbour)
