"""What the misbehaving executors share: their command line, their result, their log.

Imported with `python -S -E`, so it keeps to what the interpreter has loaded already.
"""

from __future__ import annotations

import os
import sys


def log_fd() -> int:
    """Return the descriptor that takes log lines."""
    return int(sys.argv[1].removeprefix("--log-fd="))


def result_fd() -> int:
    """Return the descriptor that takes the result."""
    return next(int(each[5:]) for each in sys.argv if each.startswith("fd://"))


def log(line: bytes) -> None:
    """Write a line to the log."""
    os.write(log_fd(), line + b"\n")


def consume_result(result: bytes) -> None:
    """Hand in the result and wait for the answer."""
    os.write(result_fd(), b"\x06" + len(result).to_bytes(4, "little") + result)
    os.read(result_fd(), 1)


def stdin() -> bytes:
    """Return the execution data."""
    return sys.stdin.buffer.read()


def module_fd(kind: str) -> int:
    """Return the descriptor of the connection to a module."""
    option = f"--module-{kind}=fd://"
    return next(int(each.removeprefix(option)) for each in sys.argv if each.startswith(option))
