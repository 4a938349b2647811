"""Gives its stdout to a process outside the run, which listens where the host would."""

from __future__ import annotations

import socket
import sys

path = sys.argv[sys.argv.index("--host") + 1].removeprefix("unix://")
outsider = socket.socket(socket.AF_UNIX)
outsider.connect(path)
socket.send_fds(outsider, [b"take it"], [1])
outsider.recv(1)
print("passed on", flush=True)
