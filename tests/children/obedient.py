"""An executor that does what its calldata says, and nothing else: it asks the host nothing.

The calldata is a map, each key optional: `print` str, `log` list of objects, `hide` bool to keep a
daemon that nobody can tell by its environment, `sleep_ms` int, `spin_ms` int to be busy for,
`print_after` str after both, `result` bytes, `linger_ms` int to live on for after the result was
answered, which a file `answered` in its TMPDIR then says, `signal` int to end itself by, `exit`
int.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from genvm_manager.protocol import calldata
from genvm_manager.protocol.executor import decode_execution_data
from genvm_manager.protocol.host import Method


def main(argv: list[str]) -> int:
    log_fd = int(argv[0].removeprefix("--log-fd="))
    result_fd = next(int(each[5:]) for each in argv if each.startswith("fd://"))
    orders = calldata.decode(decode_execution_data(sys.stdin.buffer.read()).calldata)
    print(orders.get("print", ""), end="", flush=True)
    for record in orders.get("log", []):
        os.write(log_fd, json.dumps(record).encode() + b"\n")
    if orders.get("hide"):
        subprocess.Popen([sys.executable, Path(__file__).with_name("hides_a_daemon.py")])
    time.sleep(orders.get("sleep_ms", 0) / 1000)
    until = time.monotonic() + orders.get("spin_ms", 0) / 1000
    while time.monotonic() < until:
        pass
    print(orders.get("print_after", ""), end="", flush=True)
    if (result := orders.get("result")) is not None:
        with socket.socket(fileno=result_fd) as host:
            head = bytes([Method.CONSUME_RESULT]) + len(result).to_bytes(4, "little")
            host.sendall(head + result)
            host.recv(1)
        if linger_ms := orders.get("linger_ms"):
            Path(os.environ["TMPDIR"], "answered").touch()
            time.sleep(linger_ms / 1000)
    if signal := orders.get("signal"):
        os.kill(os.getpid(), signal)
    return int(orders.get("exit", 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
