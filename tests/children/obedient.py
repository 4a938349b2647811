"""An executor that does only what its calldata says: it sends no request to the host.

The calldata is a map, each key optional: `print` str, `log` list of objects, `hide` bool to start a
daemon without the run's token in its environment, `sleep_ms` int, `spin_ms` int to be busy for,
`print_after` str after both, `result` bytes, `stay_ms` int to stay alive after the result was
acknowledged (a file `answered` in its TMPDIR tells that), `signal` int to end by, `exit` int.
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
from genvm_manager.protocol.host.messages import Method


def main(argv: list[str]) -> int:
    """Do what the calldata says and return the exit code."""
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
        if stay_ms := orders.get("stay_ms"):
            Path(os.environ["TMPDIR"], "answered").touch()
            time.sleep(stay_ms / 1000)
    if signal := orders.get("signal"):
        os.kill(os.getpid(), signal)
    return int(orders.get("exit", 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
