"""The whole service as one thing: a supervisor and the HTTP processes in front of it.

`genvm-manager serve` runs it in the foreground; commands that need a service for themselves take
`private_service`.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

from genvm_manager.base.errors import ManagerError
from genvm_manager.base.files.state_folder import supervisor_socket
from genvm_manager.base.files.temporary_files import NoTemporaryFolder, settle_temporary_files
from genvm_manager.base.logging.shared_level import SharedLevel
from genvm_manager.base.network.listeners import AddressError
from genvm_manager.base.process.exhaustion import is_exhaustion
from genvm_manager.base.process.reparented import ReparentedChildren
from genvm_manager.base.settings.executor_environment import executor_environment
from genvm_manager.base.settings.http import SettingsFiles, SettingsUnusable
from genvm_manager.base.settings.token_file import TokenFileError, read_token
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.manager.ipc_client.connection import Connection
from genvm_manager.protocol.launcher_link import offer
from genvm_manager.protocol.readiness import Readiness

from .commands import http_command, supervisor_command
from .discovery import PERIOD, Discovery
from .errors import ServiceFailed
from .executor_check import ExecutorCheck, uses_builtin_executor
from .http_listeners import HttpListeners
from .service_file import ServiceFile, remove_service_file, write_service_file
from .service_process import ServiceProcess
from .service_processes import ServiceProcesses
from .service_settings import ServiceSettings, read_config
from .stop_signals import StopSignals

HTTP_STOP_TIMEOUT = 8.0
"""Seconds that HTTP has for the requests under way; gunicorn itself gives them five."""

SUPERVISOR_STOP_SLACK = 10.0
"""Seconds that the supervisor has to stop, beyond the drain time of runs."""

SUPERVISOR_SESSION_GRACE = 5.0
"""Seconds in which a supervisor that lost its shim ends its runs and records that."""

_COMPILE_POLL = 0.1
"""Seconds between two looks at the executor's check while a command waits for it."""


class Service:
    """A service that runs while the context is entered. Raises `ServiceFailed` on the way in, and
    `StopRequested` when `stops` counts a signal before the service is up.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        report: Callable[[str], None],
        stops: StopSignals | None = None,
        stderr: IO[bytes] | None = None,
        reparented: ReparentedChildren | None = None,
    ) -> None:
        """Read the configuration. Raises `ServiceFailed`.

        `report` gets each event worth a line; `stderr`, if given, takes the processes' own;
        `reparented`, if given, ends the children that a half which died left to this process.
        """
        self._settings = settings
        self.socket = settings.socket
        self._report = report
        self._stops = stops
        self._reparented = reparented
        self.config, unknown = read_config(settings.config_path)
        for key in unknown:
            report(f"{settings.config_path}: {key}: no such setting, ignored")
        self._executors = executor_environment(
            os.environ, self.config, settings.lasting_folder or settings.state_folder
        )
        self._level = SharedLevel(settings.state_folder, self.config.log_level)
        self._processes = ServiceProcesses(report, stops, stderr, reparented)
        self._supervisor: ServiceProcess | None = None
        self._http: ServiceProcess | None = None
        self._files = SettingsFiles(settings.config_path, settings.token_file)
        self._token_file = self._files.token_file(self.config)
        self._check: ExecutorCheck | None = None
        self._cleanup = ExitStack()
        self._listeners = HttpListeners()
        self._cleanup.callback(self._listeners.close)
        self._discovery = Discovery(settings.state_folder, report, self._renew_listener)
        self._readiness = Readiness.create()
        self._readiness.wait_for("the service is starting")
        self._cleanup.callback(self._readiness.close)
        self._our_link, self._http_link = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._cleanup.enter_context(self._our_link)
        self._cleanup.enter_context(self._http_link)

    @property
    def urls(self) -> list[str]:
        """One for each address of the host that is served on; empty when TCP is not used."""
        return self._listeners.urls

    @property
    def url(self) -> str | None:
        """The first of `urls`; None when TCP is not used."""
        return self.urls[0] if self.urls else None

    @property
    def address(self) -> str:
        """What `HttpClient` takes."""
        return self.url or f"unix:{self.socket}"

    def __enter__(self) -> Service:
        try:
            with _failures_in_words(self._settings.state_folder):
                self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self) -> None:
        """Start again what dies, until a stop is asked for. Raises `ServiceFailed` when one dies
        too often.
        """
        while not (self._stops and self._stops.count):
            if self._stops and self._stops.take_reload():
                self._reload()
            self._level.refresh()
            self._processes.wait(PERIOD)
            self._processes.restart_ended()
            self._update_readiness()
            self._processes.reap_reparented([self._check.pid] if self._check else [])

    # ------------------------------------------------------------------------------------ start

    def _start(self) -> None:
        folder = self._settings.state_folder
        if self._reparented is not None and not self._reparented.can_be_seen:
            self._report(
                "/proc is not that of this PID namespace: what runs leave behind cannot be found; "
                "mount it anew, as unshare --mount-proc does"
            )
        _make_state_folder(folder)
        settle_temporary_files(folder)
        token = read_token(self._token_file) if self._token_file else None
        if note := self._executors.cache.note:
            self._report(
                f"compiled contracts are kept in {self._executors.cache.path}, since {note}"
            )
        supervisor = self._supervisor = self._start_supervisor()
        self._listen(supervisor)
        self._http = self._start_http()
        self._processes.await_ready(supervisor, lambda: _is_answered_by(supervisor, folder))
        with HttpClient(self.address, token) as client:
            self._processes.await_ready(self._http, client.answers)
        self._cleanup.callback(remove_service_file, folder)
        self._write_service_file(self._token_file)
        self._begin_check()

    def _start_supervisor(self) -> ServiceProcess:
        handover = os.memfd_create("genvm-handover")
        self._cleanup.callback(os.close, handover)
        return self._processes.start(
            "supervisor",
            supervisor_command(self._settings, self._executors.cache.path, handover),
            [handover],
            stop_timeout=parse_duration(self.config.drain_timeout) + SUPERVISOR_STOP_SLACK,
            session_grace=SUPERVISOR_SESSION_GRACE,
        )

    def _start_http(self) -> ServiceProcess:
        shared, link = self._readiness.descriptor, self._http_link.fileno()
        return self._processes.start(
            "HTTP",
            http_command(self._settings, self._listeners.binds, shared, link),
            [*self._listeners.descriptors, shared, link],
            stop_timeout=HTTP_STOP_TIMEOUT,
        )

    def _listen(self, supervisor: ServiceProcess) -> None:
        try:
            self._listeners.open(self._settings, self.config.bind_address)
        except AddressError:
            # Another service on this state folder is likely to hold the address too. The supervisor
            # finds that out, and its message says more.
            folder = self._settings.state_folder
            self._processes.await_ready(supervisor, lambda: _is_answered_by(supervisor, folder))
            raise
        self._discovery.listener = self._listeners.unix

    # -------------------------------------------------------------------------------- readiness

    def _begin_check(self) -> None:
        """Have the built-in executor compiled in the background, if runs may use it."""
        settings = self._settings
        if settings.precompile and uses_builtin_executor(
            self.config, settings.root, settings.manifest_path
        ):
            self._check = ExecutorCheck(self._executors.variables)
        self._update_readiness()

    def _update_readiness(self) -> None:
        """Check our files and the executor, and tell HTTP what `/readyz` has to wait for.

        Raises `ServiceFailed` when the executor cannot work.
        """
        fault = self._discovery.ensure()
        if self._check is not None and self._check.has_ended():
            with closing(self._check) as check:
                self._check = None
                check.raise_if_broken(self._report)
        if fault is not None:
            self._readiness.wait_for(fault)
        elif self._check is not None:
            self._readiness.wait_for("compiling the built-in executor", self._check.began_at)
        else:
            self._readiness.wait_for(None)

    @property
    def is_compiling(self) -> bool:
        """Whether the built-in executor is not ready yet: runs that use it have to wait."""
        return self._check is not None

    def await_compiled(self) -> None:
        """Return when no run has to wait for the executor. Raises as the start does."""
        while self._check is not None:
            self._processes.require_up()
            self._update_readiness()
            self._processes.wait(_COMPILE_POLL)

    # -------------------------------------------------------------------------- reload and stop

    def _reload(self) -> None:
        """Have both halves take over what the files say now; no run is touched.

        HTTP is not signalled when one of its files cannot be used; the supervisor reads its own.
        """
        if self._supervisor is not None:
            self._supervisor.signal(signal.SIGHUP)
        try:
            token_file = self._files.token_file(self._files.read().config)
            if token_file != self._token_file:
                self._write_service_file(token_file)
        except (SettingsUnusable, OSError) as error:
            self._report(f"not reloaded: {error}")
            return
        self._token_file = token_file
        self._signal_http()

    def _write_service_file(self, token_file: Path | None) -> None:
        folder = self._settings.state_folder
        file = ServiceFile.of_this_process(folder, self.urls, self.socket, token_file)
        write_service_file(folder, file)
        self._discovery.file = file

    def _renew_listener(self, listener: socket.socket) -> None:
        """Have HTTP's next workers listen on a socket that was made again."""
        with suppress(OSError):
            offer(self._our_link, listener)
        self._signal_http()

    def _signal_http(self) -> None:
        if self._http is not None:
            self._http.signal(signal.SIGHUP)

    def _stop(self) -> None:
        """End the supervisor, then HTTP, which until then tells clients of the ends of their runs
        and answers new ones with 503.
        """
        if self._check is not None:
            self._check.close()
        self._processes.stop()
        self._cleanup.close()


@contextmanager
def _failures_in_words(folder: Path) -> Iterator[None]:
    """Turn what a start may raise into `ServiceFailed`, with a message for the user."""
    try:
        yield
    except OSError as error:
        if is_exhaustion(error):
            refused = f"the service cannot be started now ({error.strerror}); try again"
            raise ServiceFailed(refused) from None
        raise ServiceFailed(f"{error.filename or folder}: {error.strerror}") from None
    except (ValueError, AddressError, TokenFileError, NoTemporaryFolder) as error:
        raise ServiceFailed(str(error)) from None


def _make_state_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        advice = "make it writable for this user, or name another one by --state-dir"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "make room on its disk"
        raise ServiceFailed(f"state folder {folder}: {error.strerror}; {advice}") from None


def _is_answered_by(supervisor: ServiceProcess, folder: Path) -> bool:
    """Return whether the supervisor behind this shim answers: another one may have the socket."""
    try:
        connection = Connection(supervisor_socket(folder), "serve")
    except ManagerError:
        return False
    connection.close()
    with suppress(psutil.Error):
        return psutil.Process(connection.supervisor_pid).ppid() == supervisor.pid
    return False
