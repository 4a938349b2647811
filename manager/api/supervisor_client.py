"""The API's way to the supervisor: a pool of blocking connections to its Unix socket."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from genvm_manager.base.errors import ManagerError, Unavailable
from genvm_manager.base.logging.lines import Level
from genvm_manager.manager.ipc_client.connection import ANSWER_GRACE, Connection, ConnectionLost
from genvm_manager.protocol.ipc.commands import (
    CancelRun,
    CheckLlm,
    Command,
    GetNewestMajor,
    GetPermits,
    GetRun,
    GetStatus,
    ReadArtifact,
    ReadMetrics,
    ReadSchema,
    ReloadManifest,
    SetEnv,
    SetLogLevel,
    SetPermits,
    StartModule,
    StartRun,
    StopModule,
    WatchStatus,
)
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.protocol.ipc.replies import (
    ArtifactPart,
    Done,
    Failure,
    LlmChecked,
    LogLevel,
    MetricsText,
    ModuleStopped,
    NewestMajor,
    Reply,
    RunCancelled,
    RunStarted,
    RunStatus,
)
from genvm_manager.protocol.ipc.runs import Artifact
from genvm_manager.protocol.ipc.status import Permits, Status
from genvm_manager.protocol.llm_check import CheckConfig, CheckPrompt

from .limits.concurrency import ConcurrencyLimiter, ConcurrencyLimits

R = TypeVar("R", bound=Reply)

QUEUE_TIMEOUT = 3600.0
"""Seconds that a run may wait for its permits before its client is told to come again."""

MODULE_TIMEOUT = 3600.0
"""Seconds for a module to start or stop, or for providers to be checked, which the supervisor
bounds."""

STOP_GRACE = 20.0
"""Seconds beyond the grace for SIGKILL to work and for the end to be recorded."""

MAX_IDLE = 32
"""Connections kept open for the next command; further ones are closed after use."""

_STOPPING = "this service is shutting down"


class SupervisorClient:
    """Asks the supervisor on behalf of many threads; each command has a connection to itself.

    Every method raises the `base.errors` that the supervisor answers, and `Unavailable` while it
    cannot be reached. Nothing has to be done when it is back. An instance belongs to the process
    that made it: make it after the fork.
    """

    def __init__(
        self,
        socket_path: Path,
        *,
        client: str,
        shares: ConcurrencyLimits,
        caller: Callable[[], socket.socket | None] = lambda: None,
    ) -> None:
        """`shares` bound how many may wait at once, and `caller` gives the socket of whoever the
        present thread asks for: when that one hangs up, the thread waits no longer."""
        self._path = socket_path
        self._client = client
        self._shares = shares
        self._caller = caller
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._closed = False

    def start_run(self, command: StartRun) -> RunStarted:
        """Start a run; waits while permits are short. Never sent twice once it may have acted."""
        share = self._shares.starters
        return self._ask(command, RunStarted, QUEUE_TIMEOUT, share, repeatable=False)

    def read_schema(self, major: int, timestamp: float, code: bytes) -> RunStatus:
        """Run the code's `#get-schema`; how that ended. It ends early when the caller hangs up."""
        command = ReadSchema(major, timestamp, code)
        return self._ask(command, RunStatus, QUEUE_TIMEOUT, self._shares.starters)

    def get_run(self, run_id: int, wait: float = 0.0, with_outputs: bool = True) -> RunStatus:
        """The run's end, or None in it when it has not finished within `wait` seconds."""
        share = self._shares.readers if wait else None
        command = GetRun(run_id, wait, with_outputs)
        return self._ask(command, RunStatus, wait + ANSWER_GRACE, share)

    def read_artifact(
        self, run_id: int, field: Artifact, offset: int, max_len: int
    ) -> ArtifactPart:
        """A part of a run's output."""
        command = ReadArtifact(run_id, field, offset, max_len)
        return self._ask(command, ArtifactPart, ANSWER_GRACE)

    def cancel_run(self, run_id: int, grace: float) -> RunCancelled:
        """End a run: SIGTERM, and SIGKILL after `grace` seconds."""
        timeout = grace + STOP_GRACE
        share = self._shares.enders
        return self._ask(CancelRun(run_id, grace), RunCancelled, timeout, share)

    def start_module(self, command: StartModule) -> Done:
        """Start a module, or restart it; waits until it serves."""
        return self._ask(command, Done, MODULE_TIMEOUT, self._shares.enders, repeatable=False)

    def stop_module(self, kind: ModuleKind) -> ModuleStopped:
        """Stop a module; waits for the runs that use it, for a while."""
        command = StopModule(kind)
        return self._ask(command, ModuleStopped, MODULE_TIMEOUT, self._shares.enders)

    def check_llm(self, configs: list[CheckConfig], prompts: list[CheckPrompt]) -> LlmChecked:
        """Ask LLM providers whether they work."""
        command = CheckLlm(configs, prompts)
        return self._ask(command, LlmChecked, MODULE_TIMEOUT, self._shares.enders)

    def status(self) -> Status:
        return self._ask(GetStatus(), Status, ANSWER_GRACE)

    def watch_status(self, known: int, wait: float) -> Status:
        """The status, once it has another revision than `known` or after `wait` seconds."""
        return self._ask(WatchStatus(known, wait), Status, wait + ANSWER_GRACE)

    def permits(self) -> Permits:
        return self._ask(GetPermits(), Permits, ANSWER_GRACE)

    def set_permits(self, total: int) -> Permits:
        return self._ask(SetPermits(total), Permits, ANSWER_GRACE)

    def metrics(self) -> MetricsText:
        """What the supervisor counts and measures."""
        return self._ask(ReadMetrics(), MetricsText, ANSWER_GRACE)

    def newest_major(self, timestamp: float) -> NewestMajor:
        """The newest major that the manifest offers at a time."""
        return self._ask(GetNewestMajor(timestamp), NewestMajor, ANSWER_GRACE)

    def set_log_level(self, level: Level) -> LogLevel:
        """Change how much every process of ours logs."""
        return self._ask(SetLogLevel(level), LogLevel, ANSWER_GRACE)

    def reload_manifest(self) -> Done:
        """Put the manifest on the disk in force."""
        return self._ask(ReloadManifest(), Done, ANSWER_GRACE)

    def set_env(self, key: str, value: str) -> Done:
        """Set what `${ENV[key]}` means."""
        return self._ask(SetEnv(key, value), Done, ANSWER_GRACE)

    def close(self) -> None:
        """Answer no more: every waiting call ends at once with `Unavailable`."""
        self._closed = True
        for connection in list(self._open):
            connection.abort()
        self._drop_idle()

    def _ask(
        self,
        command: Command,
        kind: type[R],
        timeout: float,
        share: ConcurrencyLimiter | None = None,
        *,
        repeatable: bool = True,
    ) -> R:
        """The reply; a command that may wait long holds a place of its `share` meanwhile."""
        try:
            with share.place() if share else nullcontext():
                reply = self._exchange(command, timeout, repeatable)
        except ConnectionLost:
            if self._closed:
                raise Unavailable(_STOPPING) from None
            raise
        if isinstance(reply, Failure):
            raise reply.error()
        if not isinstance(reply, kind):
            raise ManagerError(f"the supervisor answered {type(reply).__name__}")
        return reply

    def _exchange(self, command: Command, timeout: float, repeatable: bool) -> Reply:
        """Try a kept connection first; it may be dead, then all kept ones are taken for dead."""
        if self._closed:
            raise Unavailable(_STOPPING)
        try:
            kept = self._idle.pop()
        except IndexError:
            return self._converse(self._connect(), command, timeout)
        try:
            return self._converse(kept, command, timeout)
        except ConnectionLost as lost:
            if self._closed or (lost.sent and not repeatable):
                raise
        self._drop_idle()
        return self._converse(self._connect(), command, timeout)

    def _converse(self, connection: Connection, command: Command, timeout: float) -> Reply:
        try:
            reply = connection.ask(command, timeout, self._caller())
        except BaseException:
            self._forget(connection)
            raise
        if len(self._idle) < MAX_IDLE and not self._closed:
            self._idle.append(connection)
        else:
            self._forget(connection)
        return reply

    def _connect(self) -> Connection:
        connection = Connection(self._path, self._client)
        self._open.add(connection)
        if self._closed:
            connection.abort()
        return connection

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.close()

    def _drop_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._forget(self._idle.pop())
