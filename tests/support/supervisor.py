"""A real supervisor for tests, on a fresh state folder, and its client."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from genvm_manager.base.files.state_folder import run_scratch, supervisor_socket
from genvm_manager.protocol.framing import receive_frame, send_frame
from genvm_manager.protocol.ipc import codec
from genvm_manager.protocol.ipc.commands import (
    CancelRun,
    Command,
    GetRun,
    GetStatus,
    Hello,
    SetPermits,
    StartRun,
)
from genvm_manager.protocol.ipc.replies import (
    Failure,
    Reply,
    RunCancelled,
    RunStarted,
    RunStatus,
    Welcome,
)
from genvm_manager.protocol.ipc.runs import Capture, FinishedRun, MajorSelector
from genvm_manager.protocol.ipc.status import Permits, Status

from .service import processes_of
from .waiting import TIMEOUT, wait_until

PROJECT = Path(__file__).resolve().parent.parent.parent
CHILDREN = PROJECT / "tests" / "children"

MAJORS = {
    path.stem: major
    for major, path in enumerate(sorted(CHILDREN.glob("*.py")), start=10)
    if path.stem not in ("__init__", "executor_line")
}
"""For each executor in `tests/children`, the major by which the tests' manifest offers it."""

SHELL_MAJORS = {
    "quick": (1, ":"),
    "crashes": (2, "exit 7"),
    "slow": (3, "exec sleep 600"),
    "naps": (5, "exec sleep 0.05"),
    "megabyte": (6, "exec head -c 1000000 /dev/zero"),
}
"""Executors that are a line of shell: for speed."""


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, or a zombie that nobody has reaped yet."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def manifest_text() -> str:
    """Return a manifest that offers every child as an executor with its own major."""
    lines = ["executor_versions:"]
    for name, major in MAJORS.items():
        program = CHILDREN / f"{name}.py"
        lines += _entry(major, f'["${{python}}", "-S", "-E", "{program}"]')
    for major, script in SHELL_MAJORS.values():
        lines += _entry(major, f'["/bin/sh", "-c", "{script}", "genvm"]')
    lines += _entry(4, '["/nonexistent/genvm"]')
    return "\n".join(lines) + "\n"


def _entry(major: int, command: str) -> list[str]:
    return [
        f"  v{major}.0.0:",
        "    available_after: 2024-01-01T00:00:00Z",
        f"    command: {command}",
    ]


def start_command(child: str, **fields: object) -> StartRun:
    """Return the command for a sync run of the executor `child`."""
    major = SHELL_MAJORS[child][0] if child in SHELL_MAJORS else MAJORS[child]
    known: dict[str, object] = {
        "selector": MajorSelector(major),
        "timestamp": time.time(),
        "host": "unix:///nowhere.sock",
        "is_sync": True,
        "modules": [],
        "permissions": "rwscn",
        "capture": Capture.TAIL,
        "is_unsafe": False,
        "deadline": 600.0,
        "token": None,
        "extra_args": [],
        "execution_data": b"data",
    }
    return StartRun(**(known | fields))  # type: ignore[arg-type]


class Client:
    """One blocking connection to a supervisor."""

    def __init__(self, path: Path, version: int = codec.VERSION) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.socket.settimeout(TIMEOUT)
        self.welcome = self.ask_anything(Hello(version, "test"))

    def ask(self, command: Command) -> Reply:
        """Send a command and return the reply, or raise the error of a `Failure`."""
        reply = self.ask_anything(command)
        if isinstance(reply, Failure):
            raise reply.error()
        return reply

    def ask_anything(self, command: Hello | Command) -> Reply:
        """Send a command and return any reply."""
        send_frame(self.socket, codec.encode(command))
        return self.receive()

    def receive(self) -> Reply:
        """Return the next reply."""
        return codec.decode_reply(
            receive_frame(self.socket, timeout=TIMEOUT, max_size=codec.MAX_REPLY)
        )

    def start(self, child: str, **fields: object) -> int:
        """Start a run and return its id."""
        reply = self.ask(start_command(child, **fields))
        assert isinstance(reply, RunStarted)
        return reply.id

    def get(self, run_id: int, wait: float = 0.0) -> FinishedRun | None:
        """Return the run's end, waited for, or None."""
        reply = self.ask(GetRun(run_id, wait))
        assert isinstance(reply, RunStatus)
        return reply.run

    def finished(self, run_id: int) -> FinishedRun:
        """Wait for the run's end and return it."""
        run = self.get(run_id, wait=TIMEOUT - 1)
        assert run is not None
        return run

    def run(self, child: str, **fields: object) -> FinishedRun:
        """Start it and wait for its end."""
        return self.finished(self.start(child, **fields))

    def cancel(self, run_id: int, grace: float = 0.0) -> None:
        """Cancel a run."""
        assert isinstance(self.ask(CancelRun(run_id, grace)), RunCancelled)

    def status(self) -> Status:
        """Return the status."""
        reply = self.ask(GetStatus())
        assert isinstance(reply, Status)
        return reply

    def catches(self, number: signal.Signals, run_id: int) -> bool:
        """Whether the run's process catches or ignores a signal by now."""
        (pid,) = [each.pid for each in self.status().executions if each.id == run_id]
        masks = [
            int(line.split()[1], 16)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith(("SigCgt:", "SigIgn:"))
        ]
        return any(mask & (1 << (number - 1)) for mask in masks)

    def set_permits(self, total: int) -> Permits:
        """Set the number of permits."""
        reply = self.ask(SetPermits(total))
        assert isinstance(reply, Permits)
        return reply

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


class RunningSupervisor:
    """`python -m genvm_manager.supervisor`, started by entering and stopped by leaving.

    Leaving it checks that it stops as asked and that nothing of its runs is left. With
    `starts=False` the test starts it.
    """

    def __init__(
        self, config: str = "", manifest: str | None = None, *, starts: bool = True
    ) -> None:
        self._starts = starts
        self.folder = Path(tempfile.mkdtemp(prefix="genvm-sup-"))
        self.state = self.folder / "state"
        self.log_path = self.folder / "log"
        (self.folder / "config.yaml").write_text("permits: {total: 8}\n" + config)
        (self.folder / "manifest.yaml").write_text(manifest or manifest_text())
        self.process: subprocess.Popen[bytes]
        self._options = ["--manifest-path", str(self.folder / "manifest.yaml")]
        self._clients: list[Client] = []

    def __enter__(self) -> RunningSupervisor:
        try:
            if self._starts:
                self.start()
        except BaseException:
            self._clear_away()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.hang_up()
            if self._starts:
                self._stop(is_checked=kind is None)
        finally:
            self._clear_away()

    def _clear_away(self) -> None:
        for process in self.processes():
            process.kill()
        shutil.rmtree(self.folder)

    def _stop(self, *, is_checked: bool) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        exit_code = self.process.wait(TIMEOUT)
        if is_checked:
            assert exit_code == 0, self.log
            assert "Traceback" not in self.log, self.log
            assert "illegal_run_move" not in self.log, self.log
            assert "audit_violation" not in self.log, self.log
            self.assert_nothing_left()

    @property
    def log(self) -> str:
        """Everything that the supervisor has logged."""
        return self.log_path.read_text()

    @property
    def pid(self) -> int:
        """The supervisor's own pid; `process` is its shim."""
        welcome = self.client.welcome
        assert isinstance(welcome, Welcome)
        return welcome.pid

    @property
    def socket(self) -> Path:
        """The path of the supervisor's socket."""
        return supervisor_socket(self.state)

    def offer_builtin(self) -> None:
        """Use the manifest of the package from the next start on."""
        self._options.clear()

    def launch(
        self, *options: str, before: Sequence[str] = (), **extra: object
    ) -> subprocess.Popen[bytes]:
        """Start a supervisor on this folder, without waiting for anything; `before` goes before
        its command."""
        command = [*before, sys.executable, "-m", "genvm_manager.supervisor"]
        command += ["--state-dir", str(self.state), "--config", str(self.folder / "config.yaml")]
        command += self._options + list(options)
        with self.log_path.open("ab") as output:
            return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=PROJECT,
                **extra,
            )

    def start(self, *options: str, **extra: Any) -> None:
        """Start and wait until it answers."""
        self.process = self.launch(*options, **extra)
        self.client = wait_until(self._connected, TIMEOUT)

    def connect(self, version: int = codec.VERSION) -> Client:
        """Connect one more client."""
        client = Client(self.socket, version)
        self._clients.append(client)
        return client

    def hang_up_but(self, kept: Client) -> None:
        """End all connections but one."""
        for client in self._clients:
            if client is not kept:
                client.close()
        self._clients = [kept]

    def hang_up(self) -> None:
        """Close the connections of all clients."""
        for client in self._clients:
            client.close()
        self._clients.clear()

    def kill(self) -> None:
        """End the supervisor as a crash would, and see its shim out."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(TIMEOUT)
        self.hang_up()

    def kill_with_shim(self) -> None:
        """End both at once: nobody is left who could end the runs."""
        supervisor = psutil.Process(self.pid)
        # Held, so that it cannot act on the shim's end.
        supervisor.suspend()
        self.process.kill()
        self.process.wait(TIMEOUT)
        supervisor.kill()
        wait_until(lambda: has_ended(supervisor))
        self.hang_up()

    def open_files(self) -> list[str]:
        """Return the targets of the supervisor's descriptors."""
        folder = Path(f"/proc/{self.pid}/fd")
        found = []
        for entry in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(entry))
        return found

    def processes(self) -> list[psutil.Process]:
        """Return the living processes that have its folder in their command line or environment."""
        return processes_of(self.folder)

    def assert_nothing_left(self) -> None:
        """Check that no process, socket or temporary file of it is left."""
        assert not self.processes()
        assert not self.socket.exists()
        assert not list(run_scratch(self.state).iterdir())

    def assert_no_runs(self) -> None:
        """Check that the shim and the supervisor live, and no other process of the test."""
        assert {process.pid for process in self.processes()} == {self.process.pid, self.pid}
        assert not psutil.Process(self.pid).children(recursive=True)

    @contextlib.contextmanager
    def leaves_nothing(self) -> Iterator[Client]:
        """Yield a client; at the end all permits must be back and nothing of the runs left."""
        self.client.run("quick")
        files_before = sorted(self.open_files())
        yield self.client
        permits = self.client.status().permits
        assert (permits.in_use, permits.queued, permits.free) == (0, 0, permits.total)
        self.assert_no_runs()
        assert not list(run_scratch(self.state).glob("*/*"))
        assert sorted(self.open_files()) == files_before
        assert self.client.run("quick").exit.code == 0

    def _connected(self) -> Client | None:
        assert self.process.poll() is None, self.log
        try:
            return self.connect()
        except (FileNotFoundError, ConnectionError):
            return None
