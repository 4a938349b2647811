"""The whole service as one thing: a supervisor and the HTTP processes, started, kept and stopped.

`genvm-manager serve` runs it in the foreground; commands that need a service for themselves take
`private_service`.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from genvm_manager.base.errors import BadRequest, ManagerError
from genvm_manager.base.files.state_folder import supervisor_socket
from genvm_manager.base.files.temporary_files import NoTemporaryFolder, settle_temporary_files
from genvm_manager.base.network.listeners import AddressError, listen_tcp, split_address, url_of
from genvm_manager.base.process.exhaustion import EX_TEMPFAIL, is_exhaustion
from genvm_manager.base.process.orphans import Orphans
from genvm_manager.base.settings.config import Config, parse_config
from genvm_manager.base.settings.executor_environment import executor_environment
from genvm_manager.base.settings.http import SettingsFiles, SettingsUnusable
from genvm_manager.base.settings.token_file import TokenFileError, read_token
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.manager.ipc_client.connection import Connection
from genvm_manager.protocol.ipc.runs import Exit
from genvm_manager.protocol.launcher_link import offer
from genvm_manager.protocol.readiness import Readiness

from .executor_check import ExecutorCheck, uses_builtin_executor
from .service_file import ServiceNote, find_service, remove_note, write_note
from .service_files import PERIOD, ServiceFiles, UnixListener
from .service_process import ServiceProcess, await_events
from .stop_signals import StopSignals

__all__ = ["Service", "ServiceFailed", "ServiceSettings", "find_service", "private_service"]

START_TIMEOUT = 60.0
"""Seconds within which a process must answer after its start."""

HTTP_STOP_TIMEOUT = 8.0
"""Seconds that HTTP has for the requests under way; gunicorn itself gives them five."""

SUPERVISOR_STOP_GRACE = 10.0
"""Seconds beyond the drain time of runs."""

SUPERVISOR_GRACE = 5.0
"""Seconds in which a supervisor that lost its shim ends its runs and records that."""

STATE_FOLDER_HELD = 73
"""The supervisor's exit code when another one holds the state folder."""


class ServiceFailed(Exception):
    """The service could not start or was given up; the message says why. Empty: it was said."""


class StopRequested(Exception):
    """A signal came before the service was up."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What to serve and where. With a `socket` and neither host nor port, TCP is not used.

    `root`, `manifest_path` and `token_file`, if given, are used instead of those that the
    configuration names. `lasting_folder`: the state folder for what is compiled, where the usual
    cache cannot be written and `state_folder` is of no duration.
    """

    state_folder: Path
    config_path: Path | None = None
    root: Path | None = None
    manifest_path: Path | None = None
    host: str | None = None
    port: int | None = None
    socket: Path | None = None
    token_file: Path | None = None
    precompile: bool = True
    lasting_folder: Path | None = None


def read_config(path: Path | None) -> tuple[Config, list[str]]:
    """The configuration in a file, and its unknown keys. Raises `ServiceFailed`."""
    if path is None:
        return Config(), []
    try:
        return parse_config(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, BadRequest) as error:
        raise ServiceFailed(f"{path}: {error}") from None


class Service:
    """A service that runs while the context is entered. Raises `ServiceFailed` on the way in."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        report: Callable[[str], None],
        stops: StopSignals | None = None,
        stderr: IO[bytes] | None = None,
        orphans: Orphans | None = None,
    ) -> None:
        """`report` is called with each event worth a line; `stderr`, if given, takes the
        processes' own; `orphans`, if given, ends what falls to us from a half that died."""
        self._settings = settings
        self._report = report
        self._stops = stops
        self._stderr = stderr
        self._orphans = orphans
        self.config, unknown = read_config(settings.config_path)
        for key in unknown:
            report(f"{settings.config_path}: {key}: no such setting, ignored")
        self._executors = executor_environment(
            os.environ, self.config, settings.lasting_folder or settings.state_folder
        )
        self._processes: list[ServiceProcess] = []
        self._cleanup = ExitStack()
        self.urls: list[str] = []
        self.socket = settings.socket
        self._files = SettingsFiles(settings.config_path, settings.token_file)
        self._token_file = self._files.token_file(self.config)
        self._kept = ServiceFiles(settings.state_folder, report, self._listens_again)
        self._check: ExecutorCheck | None = None
        self._check_began = 0.0
        self._readiness = Readiness.create()
        self._readiness.wait_for("the service is starting")
        self._cleanup.callback(self._readiness.close)
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._cleanup.enter_context(self._ours)
        self._cleanup.enter_context(self._theirs)

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
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self) -> None:
        """Start again what dies, until a stop is asked for. `ServiceFailed` when it is in vain."""
        while not self._stop_requests():
            if self._stops and self._stops.take_reload():
                self._reload()
            due = [p.restart_at for p in self._processes if p.restart_at is not None]
            timeout = max(0.0, min(due) - time.monotonic()) if due else PERIOD
            await_events(self._processes, self._stops, min(timeout, PERIOD))
            self._look_after(self._restart_later)
            self._look_around()
            if self._orphans is not None:
                self._orphans.reap(self._own_children())

    # ------------------------------------------------------------------------------------ start

    def _start(self) -> None:
        folder = self._settings.state_folder
        if self._orphans is not None and not self._orphans.can_be_seen:
            self._report(
                "/proc is not that of this PID namespace: what runs leave behind cannot be found; "
                "mount it anew, as unshare --mount-proc does"
            )
        try:
            _make_state_folder(folder)
            settle_temporary_files(folder)
            token = read_token(self._token_file) if self._token_file else None
            if note := self._executors.cache.note:
                folder_in_use = self._executors.cache.path
                self._report(f"compiled contracts are kept in {folder_in_use}, since {note}")
            handover = self._make_handover()
            supervisor = self._launch(
                "supervisor",
                [*self._arguments("genvm_manager.supervisor"), "--handover-fd", str(handover)],
                [handover],
            )
            binds, descriptors = self._listen(supervisor)
            http = self._launch(
                "HTTP",
                [
                    *self._arguments("genvm_manager.manager.server"),
                    *self._link(),
                    *_bound(binds),
                ],
                [*descriptors, self._readiness.descriptor, self._theirs.fileno()],
            )
            self._await(supervisor, lambda: self._is_answered_by(supervisor))
            with HttpClient(self.address, token) as client:
                self._await(http, client.answers)
            self._write_note(self._token_file)
            self._begin_check()
        except OSError as error:
            if is_exhaustion(error):
                refused = f"the service cannot be started now ({error.strerror}); try again"
                raise ServiceFailed(refused) from None
            raise ServiceFailed(f"{error.filename or folder}: {error.strerror}") from None
        except (ValueError, AddressError, TokenFileError, NoTemporaryFolder) as error:
            raise ServiceFailed(str(error)) from None
        self._cleanup.callback(remove_note, folder)

    def _link(self) -> list[str]:
        """The arguments by which HTTP finds what we share with it."""
        shared, theirs = self._readiness.descriptor, self._theirs.fileno()
        return ["--readiness-fd", str(shared), "--listeners-fd", str(theirs)]

    def _make_handover(self) -> int:
        """A file in memory in which a supervisor leaves its successor what clients have changed."""
        descriptor = os.memfd_create("genvm-handover")
        self._cleanup.callback(os.close, descriptor)
        return descriptor

    def _arguments(self, module: str) -> list[str]:
        arguments = [module, "--state-dir", str(self._settings.state_folder)]
        if self._settings.config_path:
            arguments += ["--config", str(self._settings.config_path)]
        if self._settings.root and module == "genvm_manager.supervisor":
            arguments += ["--root", str(self._settings.root)]
        if module == "genvm_manager.supervisor":
            arguments += ["--cache-dir", str(self._executors.cache.path)]
        if self._settings.manifest_path and module == "genvm_manager.supervisor":
            arguments += ["--manifest-path", str(self._settings.manifest_path)]
        if self._settings.token_file and module == "genvm_manager.manager.server":
            arguments += ["--token-file", str(self._settings.token_file)]
        return arguments

    def _listen(self, supervisor: ServiceProcess) -> tuple[list[str], list[int]]:
        """gunicorn's names of what it serves on, and the descriptors that they mean."""
        try:
            return self._take_addresses()
        except AddressError:
            # Who holds the state folder is likely to hold the address too, and says more.
            self._await(supervisor, lambda: self._is_answered_by(supervisor))
            raise

    def _take_addresses(self) -> tuple[list[str], list[int]]:
        settings = self._settings
        listeners: list[socket.socket] = []
        if settings.socket is None or settings.host is not None or settings.port is not None:
            host, port = split_address(self.config.bind_address)
            wanted = port if settings.port is None else settings.port
            made = listen_tcp(settings.host or host, wanted)
            listeners.extend(self._cleanup.enter_context(listener) for listener in made)
            self.urls = [url_of(listener) for listener in listeners]
        if settings.socket is not None:
            self._kept.listener = UnixListener(settings.socket)
            self._cleanup.callback(self._kept.listener.close)
            listeners.append(self._kept.listener.socket)
        descriptors = [listener.fileno() for listener in listeners]
        return [f"fd://{descriptor}" for descriptor in descriptors], descriptors

    def _begin_check(self) -> None:
        """Have the built-in executor compiled meanwhile, if runs may use it."""
        settings = self._settings
        if settings.precompile and uses_builtin_executor(
            self.config, settings.root, settings.manifest_path
        ):
            self._check = ExecutorCheck(self._executors.variables)
            self._check_began = time.monotonic()
        self._look_around()

    def _look_around(self) -> None:
        """See to our files and to the executor, and have HTTP know what is waited for.

        Raises `ServiceFailed` when the executor cannot work.
        """
        fault = self._kept.ensure()
        if self._check is not None and self._check.ended():
            check, self._check = self._check, None
            self._take_in(check)
        if fault is not None:
            self._readiness.wait_for(fault)
        elif self._check is not None:
            self._readiness.wait_for("compiling the built-in executor", self._check_began)
        else:
            self._readiness.wait_for(None)

    def _take_in(self, check: ExecutorCheck) -> None:
        with closing(check):
            if check.exit_code:
                why = "; ".join(check.said("broken")) or f"exit code {check.exit_code}"
                raise ServiceFailed(
                    f"the built-in executor does not work: {why}; mend that, or start without it "
                    "by --no-precompile"
                )
            for reason in check.said("uncached"):
                self._report(f"runs compile their contracts anew: {reason}")

    @property
    def is_compiling(self) -> bool:
        """Whether the built-in executor is not ready yet: runs that use it have to wait."""
        return self._check is not None

    def await_compiled(self) -> None:
        """Return when no run has to wait for the executor. Raises as the start does."""
        while self._check is not None:
            self._stay_up()
            self._look_around()
            await_events(self._processes, self._stops, 0.1)

    def _launch(
        self, name: str, arguments: Sequence[str], descriptors: Sequence[int] = ()
    ) -> ServiceProcess:
        process = ServiceProcess(
            name,
            arguments,
            descriptors=descriptors,
            stderr=self._stderr,
            parting=SUPERVISOR_GRACE if name == "supervisor" else 0.0,
        )
        process.start()
        self._processes.append(process)
        return process

    def _await(self, process: ServiceProcess, is_ready: Callable[[], bool]) -> None:
        while process.pid is None or not is_ready():
            self._stay_up()
            if process.pid is not None and time.monotonic() > process.started_at + START_TIMEOUT:
                raise ServiceFailed(f"{process.name} did not answer within {START_TIMEOUT:.0f} s")
            await_events(self._processes, self._stops, 0.02)

    def _stay_up(self) -> None:
        """To be called again and again during the start. Raises `StopRequested`."""
        self._raise_if_stopped()
        self._look_after(self._start_failed)

    def _start_failed(self, process: ServiceProcess) -> None:
        """One that was killed is started again; what one decided itself, it would decide again."""
        end = self._reap(process)
        if end.signal is not None:
            self._restart_later(process, end)
        elif end.code == STATE_FOLDER_HELD:
            raise ServiceFailed
        else:
            raise ServiceFailed(f"{process.name} did not start: it {_words(end)}")

    def _is_answered_by(self, supervisor: ServiceProcess) -> bool:
        """Whether the one behind this shim greets us: the socket may be another supervisor's."""
        try:
            connection = Connection(supervisor_socket(self._settings.state_folder), "serve")
        except ManagerError:
            return False
        connection.close()
        with suppress(psutil.Error):
            return psutil.Process(connection.supervisor_pid).ppid() == supervisor.pid
        return False

    # ------------------------------------------------------------------------ stay, reload, stop

    def _reload(self) -> None:
        """Have HTTP go by what the files say now; the supervisor and its runs know nothing of it.

        What cannot be used is said, and nothing changes.
        """
        try:
            token_file = self._files.token_file(self._files.read().config)
            if token_file != self._token_file:
                self._write_note(token_file)
        except (SettingsUnusable, OSError) as error:
            self._report(f"not reloaded: {error}")
            return
        self._token_file = token_file
        self._signal_http()

    def _write_note(self, token_file: Path | None) -> None:
        folder = self._settings.state_folder
        note = ServiceNote.of_this_process(folder, self.urls, self.socket, token_file)
        write_note(folder, note)
        self._kept.note = note

    def _listens_again(self, listener: socket.socket) -> None:
        """Have HTTP's workers to come listen on a socket that was made again."""
        with suppress(OSError):
            offer(self._ours, listener)
        self._signal_http()

    def _signal_http(self) -> None:
        for process in self._processes:
            if process.name == "HTTP":
                process.signal(signal.SIGHUP)

    def _own_children(self) -> set[int]:
        """The pids of those whom somebody here waits for."""
        pids = {each.pid for each in self._processes if each.pid is not None}
        return pids if self._check is None else pids | {self._check.pid}

    def _look_after(self, bury: Callable[[ServiceProcess], None]) -> None:
        """Start again what is due, and have `bury` see to what has ended."""
        for process in self._processes:
            if process.restart_at is None and process.ended():
                bury(process)
            elif process.restart_at is not None and process.restart_at <= time.monotonic():
                self._start_again(process)

    def _start_again(self, process: ServiceProcess) -> None:
        """Start what is due. A refusal that passes costs the other half nothing, however often."""
        try:
            process.start()
        except OSError as error:
            refused = f"{process.name} cannot be started: {error.strerror}"
            passes = is_exhaustion(error)
            delay = process.schedule_retry() if passes else process.schedule_restart()
            if delay is None:
                raise ServiceFailed(f"{refused}; giving up") from None
            self._report(f"{refused}; trying again in {delay:.1f} s")

    def _reap(self, process: ServiceProcess) -> Exit:
        """How it ended; with it goes all that it leaves behind."""
        end = process.reap()
        if self._orphans is not None:
            sessions = [other.pid for other in self._processes if other.pid is not None]
            if left := self._orphans.end(sessions):
                self._report(f"left by {process.name}, these survive SIGKILL: {left}")
        return end

    def _restart_later(self, process: ServiceProcess, end: Exit | None = None) -> None:
        end = end or self._reap(process)
        how = _words(end)
        passes = end.code == EX_TEMPFAIL
        delay = process.schedule_retry() if passes else process.schedule_restart()
        if delay is None:
            raise ServiceFailed(f"{process.name} {how}; it has died too often, giving up")
        self._report(f"{process.name} {how}; starting it again in {delay:.1f} s")

    def _stop(self) -> None:
        """End the supervisor, then HTTP: until then it tells clients of the ends of their runs, and
        whoever brings another run to come again. Then all the rest."""
        if self._check is not None:
            self._check.close()
        drain = parse_duration(self.config.drain_timeout) + SUPERVISOR_STOP_GRACE
        for process in self._processes:
            timeout = drain if process.name == "supervisor" else HTTP_STOP_TIMEOUT
            if not process.end(timeout, self._stops):
                self._report(f"{process.name} does not stop; it was killed")
            if process.pid is not None:
                self._reap(process)
        self._processes.clear()
        self._cleanup.close()

    # ----------------------------------------------------------------------------------- waiting

    def _stop_requests(self) -> int:
        return self._stops.count if self._stops else 0

    def _raise_if_stopped(self) -> None:
        if self._stop_requests():
            raise StopRequested


@contextmanager
def private_service(  # noqa: PLR0913 - some of what a service has
    state_folder: Path,
    config_path: Path | None = None,
    *,
    root: Path | None = None,
    manifest_path: Path | None = None,
    quiet: bool = True,
    lasting_folder: Path | None = None,
) -> Iterator[Service]:
    """A service on a free loopback port for the time of the context; its `url` says which.

    `quiet` keeps the processes' logs from stderr; they are in the message when the start fails.
    `lasting_folder`: see `ServiceSettings`.
    """
    settings = ServiceSettings(
        state_folder,
        config_path,
        root,
        manifest_path,
        host="127.0.0.1",
        port=0,
        lasting_folder=lasting_folder,
    )
    with ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile()) if quiet else None
        try:
            service = stack.enter_context(Service(settings, report=_ignore, stderr=log))
            service.await_compiled()
        except ServiceFailed as failure:
            raise ServiceFailed(f"{failure}\n{_tail(log)}".strip()) from None
        yield service


def _make_state_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        advice = "make it writable for this user, or name another one by --state-dir"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "make room on its disk"
        raise ServiceFailed(f"state folder {folder}: {error.strerror}; {advice}") from None


def _bound(binds: Sequence[str]) -> list[str]:
    return [f"--bind={bind}" for bind in binds]


def _ignore(_event: str) -> None:
    """Events of a private service are of no interest to its user."""


def _tail(log: IO[bytes] | None) -> str:
    if log is None:
        return ""
    log.seek(0)
    return b"".join(log.readlines()[-5:]).decode("utf-8", "replace")


def _words(end: Exit) -> str:
    if end.signal is not None:
        names = {int(known): known.name for known in signal.Signals}
        return f"was ended by {names.get(end.signal, f'signal {end.signal}')}"
    return f"ended with exit code {end.code}"
