"""Inputs in forked children: one that ends or hangs its process is an observation like any other.

The parent has imported all that is needed and has no threads, so a child costs a few milliseconds.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import psutil

from .observation import Observation

SILENCE = 180.0
"""Seconds of processor time after which a child that says nothing is killed."""

_LOOK = 5.0
_HEAD = struct.Struct("<I")

Trial = Callable[[bytes], Observation]


def observe_in_children(inputs: Sequence[bytes], attempt: Trial) -> Iterator[Observation]:
    """Yield an observation for each input."""
    done = 0
    while done < len(inputs):
        with _Child(inputs[done:], attempt) as child:
            for observation in child.observations():
                done += 1
                yield observation


class _Child:
    def __init__(self, inputs: Sequence[bytes], attempt: Trial) -> None:
        self._left = len(inputs)
        self._reader, writer = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._reader)
            _attempt_all(writer, inputs, attempt)
        os.close(writer)

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._reader)
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def observations(self) -> Iterator[Observation]:
        """Yield what the child says, and what its end says of the input at which it ended."""
        while self._left:
            told = self._receive()
            if isinstance(told, str):
                yield Observation(told, faults=(told,))
                return
            self._left -= 1
            yield told

    def _receive(self) -> Observation | str:
        """Return an observation, or a sentence where there is none."""
        head = self._exactly(_HEAD.size)
        body = self._exactly(_HEAD.unpack(head)[0]) if head else b""
        if body:
            told: Observation = pickle.loads(body)
            return told
        exited = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if exited is None:
            return f"the process hangs: over {SILENCE:.0f} s of processor time"
        if exited.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
            return f"the process died of {signal.Signals(exited.si_status).name}"
        return f"the process exited with {exited.si_status}"

    def _exactly(self, size: int) -> bytes:
        """Return so many bytes; none at the child's end or when it hangs."""
        content = b""
        while len(content) < size:
            if not self._has_more():
                return b""
            part = os.read(self._reader, size - len(content))
            if not part:
                os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
                return b""
            content += part
        return content

    def _has_more(self) -> bool:
        began = self._processor_seconds()
        idle = 0
        while not select.select([self._reader], [], [], _LOOK)[0]:
            now = self._processor_seconds()
            idle = idle + 1 if now == began else 0
            if now - began > SILENCE or idle * _LOOK > SILENCE:
                return False
        return True

    def _processor_seconds(self) -> float:
        with suppress(psutil.Error):
            return sum(psutil.Process(self._pid).cpu_times()[:4])
        return 0.0


def _attempt_all(writer: int, inputs: Sequence[bytes], attempt: Trial) -> None:
    """Try all inputs in the child, and end it."""
    status = 1
    try:
        for content in inputs:
            body = pickle.dumps(attempt(content))
            os.write(writer, _HEAD.pack(len(body)) + body)
        status = 0
    finally:
        # Not by way of the interpreter's end, which belongs to the parent.
        os._exit(status)
