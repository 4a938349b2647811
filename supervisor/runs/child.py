"""One executor's process: its output, its result, its end."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.logging.lines import LEVELS
from genvm_manager.protocol.ipc.runs import Artifact

from .launcher import Launched, LaunchOrder
from .pipe_readers import PipeReader
from .reaper import Ending, Reaper
from .result_channel import Keep, ResultChannel
from .rules_capture import CaptureLimits
from .rules_log_records import (
    LineSplitter,
    RecordTail,
    contract_error,
    parse_record,
    take_traceback,
)
from .rules_tail import Tail

DRAIN_TIMEOUT = 0.2
"""Seconds to wait for the end of a stream that a process outside the run holds open."""

_NOTHING = CaptureLimits(0, 0, 0)

_FORWARDED_LINES = 10_000

_MAX_FAULTS = 4
"""Most tracebacks of one run that are written into the supervisor's log."""


@dataclass(frozen=True, slots=True)
class Output:
    """What an executor wrote, as far as it is kept; `genvm_log` is a JSON array.

    `contract_error`: see `FinishedRun`.
    """

    stdout: bytes = b""
    stderr: bytes = b""
    genvm_log: bytes = b"[]"
    result: bytes | None = None
    stdout_dropped: int = 0
    stderr_dropped: int = 0
    log_dropped: int = 0
    log_dropped_bytes: int = 0
    contract_error: str | None = None


class Child:
    """A launched executor. Owns its descriptors: await `ended` and then `output` to close them."""

    def __init__(
        self,
        launched: Launched,
        order: LaunchOrder,
        reaper: Reaper,
        keep_result: Keep,
        log: EventLog,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.pid = launched.pid
        self._pidfd = launched.pidfd
        self._reaper = reaper
        reaper.adopt(launched.pid, order.token)
        self._is_over = False
        limits = order.limits or _NOTHING
        self._stdout = Tail(limits.stream_bytes)
        self._stderr = Tail(limits.stream_bytes)
        faults = FaultLog(order.run_id, log)
        self._records = RecordTail(limits.log_records, limits.log_bytes, faults.write)
        self._forwarded = ForwardedLog(order.run_id, log, faults)
        sink = self._records.append if order.limits else self._forwarded.append
        self._readers = [PipeReader(loop, launched.log, sink)]
        self._add_reader(loop, launched.stdout, self._stdout.append)
        self._add_reader(loop, launched.stderr, self._stderr.append)
        self._channel = ResultChannel(loop, launched.result, order.run_id, keep_result, log)

    @property
    def is_over(self) -> bool:
        """Whether the executor and all that it has started have ended."""
        return self._is_over

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, unless it has ended."""
        self._reaper.signal(self.pid, number)

    async def ended(self) -> Ending:
        """Wait until the executor and all that it has started have ended."""
        ending = await self._reaper.wait(self.pid, self._pidfd)
        self._is_over = True
        return ending

    async def output(self) -> Output:
        """Read the output to its end, after `ended`, and return what is kept of it."""
        await self._drain()
        self._channel.drain()
        self._channel.close()
        return Output(
            stdout=self._stdout.content(),
            stderr=self._stderr.content(),
            genvm_log=self._records.content(),
            result=self._channel.result,
            stdout_dropped=self._stdout.dropped_bytes,
            stderr_dropped=self._stderr.dropped_bytes,
            log_dropped=self._records.dropped_records,
            log_dropped_bytes=self._records.dropped_bytes,
            contract_error=self._records.contract_error or self._forwarded.contract_error,
        )

    def kept(self, output: Artifact) -> Tail | RecordTail:
        """Return what is kept of an output by now."""
        match output:
            case Artifact.STDOUT:
                return self._stdout
            case Artifact.STDERR:
                return self._stderr
            case Artifact.GENVM_LOG:
                return self._records
            case Artifact.RESULT:
                return Tail(0)

    def _add_reader(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int | None,
        sink: Callable[[bytes], None],
    ) -> None:
        if descriptor is not None:
            self._readers.append(PipeReader(loop, descriptor, sink))

    async def _drain(self) -> None:
        until = time.monotonic() + DRAIN_TIMEOUT
        for reader in self._readers:
            while not reader.drain(until) and time.monotonic() < until:
                await asyncio.sleep(DRAIN_TIMEOUT / 10)
            reader.close()


class FaultLog:
    """Writes an executor's tracebacks into the supervisor's log; clients do not see them."""

    def __init__(self, run_id: int, log: EventLog) -> None:
        self._run_id = run_id
        self._log = log
        self._left = _MAX_FAULTS

    def write(self, traceback: str) -> None:
        """Write a traceback, unless the run has used up its number of them."""
        if self._left > 0:
            self._left -= 1
            self._log.error("executor_fault", run=self._run_id, traceback=traceback)


class ForwardedLog:
    """Writes an executor's log into the supervisor's log, up to a number of lines."""

    def __init__(self, run_id: int, log: EventLog, faults: FaultLog) -> None:
        self._run_id = run_id
        self._log = log
        self._faults = faults
        self._splitter = LineSplitter()
        self._left = _FORWARDED_LINES
        self.contract_error: str | None = None
        """As that of a `RecordTail`."""

    def append(self, received: bytes) -> None:
        """Take what the executor has written to its log."""
        for line in self._splitter.feed(received):
            record = parse_record(line)
            self.contract_error = contract_error(record) or self.contract_error
            self._left -= 1
            if self._left > 0:
                self._forward(record)
            elif self._left == 0:
                self._log.warning("executor_log_cut", run=self._run_id, lines=_FORWARDED_LINES)

    def _forward(self, record: dict[str, Any]) -> None:
        if (traceback := take_traceback(record)) is not None:
            self._faults.write(traceback)
        level = LEVELS.get(str(record.get("level")).lower(), LEVELS["info"])
        self._log.write(level, "executor_log", run=self._run_id, message=record.get("message"))
