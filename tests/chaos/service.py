"""The service under test: `genvm-manager serve` on its own folder, and its processes by role."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import httpx
import psutil

from genvm_manager.base.process.proc import children_of
from genvm_manager.manager.launcher.service_file import find_service
from tests.support.service import GENVM_MANAGER, PROJECT, processes_of

from .kinds import MEMORY_LIMIT, manifest

TOTAL_PERMITS = 6
HTTP_WORKERS = 2
START_TIMEOUT = 120.0
STOP_TIMEOUT = 120.0
LEFT_TIMEOUT = 60.0
"""Seconds within which all processes that a killed `serve` leaves must end."""

HEAL_TIMEOUT = 120.0
"""Seconds within which the service must be healthy again after any fault."""

_PAUSE = 0.02

_CONFIG = f"""
http_workers: {HTTP_WORKERS}
http_threads: 128
permits: {{total: {TOTAL_PERMITS}}}
max_queued: 6
execution_retention: 100h
retained_bytes: {1 << 50}
drain_timeout: 1s
run_memory_limit: {MEMORY_LIMIT}
"""


class ServiceUnhealthy(Exception):
    """The service does not start, does not stop or does not heal; the message says which."""


class Role(Enum):
    """What a process is.

    `RETIRING`: an HTTP worker after a reload, until its clients have gone or been silent for long
    enough. `EXECUTOR`: an executor, or a process that one has started.
    """

    SERVE = "serve"
    SHIM = "shim"
    SUPERVISOR = "supervisor"
    MASTER = "http master"
    WORKER = "http worker"
    RETIRING = "http worker that retires"
    EXECUTOR = "executor"


@dataclass(frozen=True, slots=True)
class ProcessesByRole:
    """The processes of a service at one moment, by role."""

    members: Mapping[Role, list[psutil.Process]]

    @property
    def is_complete(self) -> bool:
        """Whether all processes of a healthy service exist."""
        wanted = dict.fromkeys((Role.SERVE, Role.SHIM, Role.SUPERVISOR, Role.MASTER), 1)
        wanted[Role.WORKER] = HTTP_WORKERS
        return all(len(self.members[role]) == count for role, count in wanted.items())

    @property
    def on_duty(self) -> list[psutil.Process]:
        """All processes but HTTP workers that retire."""
        retiring = self.members[Role.RETIRING]
        return [process for process in self.all if process not in retiring]

    @property
    def all(self) -> list[psutil.Process]:
        """All processes."""
        return [process for members in self.members.values() for process in members]

    def one(self, role: Role) -> psutil.Process:
        """Return the only process of a role; the service must be complete."""
        (process,) = self.members[role]
        return process


class ServiceUnderTest:
    """A service that can be started, stopped and killed; always on the same port and folder."""

    def __init__(self, cgroup: str | None = None) -> None:
        """Prepare the folder. `cgroup`: as the setting of that name; each run gets one below it."""
        self.cgroup = cgroup
        self.folder = Path(tempfile.mkdtemp(prefix="genvm-chaos-"))
        self.state = self.folder / "state"
        self.recordings_folder = self.folder / "recordings"
        self.log_path = self.folder / "log"
        self.port = _free_port()
        self.recordings_folder.mkdir()
        (self.folder / "home").mkdir()
        config = f"{_CONFIG}cgroup: {cgroup or 'null'}\n"
        (self.folder / "config.yaml").write_text(config)
        (self.folder / "manifest.yaml").write_text(manifest(self.recordings_folder))
        self._serve: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=5)

    # ---------------------------------------------------------------------------- start, stop

    def start(self) -> int:
        """Start it and wait until it serves; return how many starts failed.

        It is in vain while what a killed one left still holds the folder.
        """
        deadline = time.monotonic() + START_TIMEOUT
        attempts = 0
        while time.monotonic() < deadline:
            self.launch()
            if self._comes_up(deadline):
                return attempts
            attempts += 1
        raise ServiceUnhealthy(f"serve did not start within {START_TIMEOUT:.0f} s")

    def stop(self) -> int:
        """Ask it to stop, wait for that, and return its exit code."""
        assert self._serve is not None
        self._serve.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end after a request to stop or a kill; return its exit code."""
        assert self._serve is not None
        try:
            return self._serve.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ServiceUnhealthy(f"serve did not stop within {STOP_TIMEOUT:.0f} s") from None

    def end_all(self) -> None:
        """Kill it and all processes that are left of it.

        `serve` first: it would start others, and without it the supervisor ends its runs, those
        that have no name too.
        """
        self._http.close()
        if self._serve is not None:
            self._serve.kill()
            self._serve.wait()
        kill_after = time.monotonic() + LEFT_TIMEOUT
        while left := self.processes():
            for process in left if time.monotonic() > kill_after else ():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(_PAUSE)

    def discard(self) -> None:
        """End it and remove its folder."""
        self.end_all()
        shutil.rmtree(self.folder)

    # ----------------------------------------------------------------------------- who is there

    def processes(self) -> list[psutil.Process]:
        """Return all processes with its folder in their command line or environment."""
        return processes_of(self.folder)

    def by_role(self) -> ProcessesByRole:
        """Return the processes that exist now."""
        assert self._serve is not None
        serve = []
        with suppress(psutil.NoSuchProcess):
            serve = [psutil.Process(self._serve.pid)] if self._serve.poll() is None else []
        shim = _those(Role.SHIM, serve)
        supervisor = _those(Role.SUPERVISOR, shim)
        master = _those(Role.MASTER, serve)
        return ProcessesByRole(
            {
                Role.SERVE: serve,
                Role.SHIM: shim,
                Role.SUPERVISOR: supervisor,
                Role.MASTER: master,
                Role.WORKER: _those(Role.WORKER, master),
                Role.RETIRING: _those(Role.RETIRING, master),
                Role.EXECUTOR: [each for one in supervisor for each in _descendants(one)],
            }
        )

    def wait_until_healthy(self, without: Collection[psutil.Process] = ()) -> ProcessesByRole:
        """Wait until all processes exist, none of `without` is left and runs are accepted.

        Return the processes. Raises `ServiceUnhealthy`.
        """
        deadline = time.monotonic() + HEAL_TIMEOUT
        while time.monotonic() < deadline:
            processes = self.by_role()
            if not processes.members[Role.SERVE]:
                raise ServiceUnhealthy(f"serve ended by itself with {self.wait()}")
            is_healed = processes.is_complete and not set(without) & set(processes.on_duty)
            if is_healed and self._has_started() and self.is_ready():
                return processes
            time.sleep(_PAUSE)
        raise ServiceUnhealthy(f"the service is not healthy within {HEAL_TIMEOUT:.0f} s")

    def is_ready(self) -> bool:
        """Return whether it accepts runs."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.HTTPError:
            return False

    @property
    def log(self) -> str:
        """Everything that it has logged."""
        return self.log_path.read_text(errors="replace")

    def launch(self) -> None:
        """Start `serve`, without waiting for anything."""
        command = [GENVM_MANAGER, "serve", "--state-dir", str(self.state)]
        command += ["--port", str(self.port), "--config", str(self.folder / "config.yaml")]
        command += ["--manifest-path", str(self.folder / "manifest.yaml")]
        home = str(self.folder / "home")
        with self.log_path.open("ab") as output:
            self._serve = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env={
                    "PATH": "/usr/bin:/bin",
                    "HOME": home,
                    "TMPDIR": home,
                    "PYTHONPATH": str(PROJECT),
                },
            )

    def _has_started(self) -> bool:
        """Return whether `serve` has finished its start and so has written its service file."""
        return find_service(self.state) is not None

    def _comes_up(self, deadline: float) -> bool:
        """Wait until it is healthy; return False if it ends first."""
        assert self._serve is not None
        while time.monotonic() < deadline:
            if self._serve.poll() is not None:
                return False
            if self.by_role().is_complete and self._has_started() and self.is_ready():
                return True
            time.sleep(_PAUSE)
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    """Return the children; psutil's own search reads every process of the machine."""
    found = []
    for pid in children_of(process.pid):
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def _descendants(process: psutil.Process) -> Iterator[psutil.Process]:
    for child in _children(process):
        yield child
        yield from _descendants(child)


def _those(role: Role, parents: list[psutil.Process]) -> list[psutil.Process]:
    """Return the children whose process title names this role."""
    return [each for one in parents for each in _children(one) if _is(each, role)]


def _is(process: psutil.Process, role: Role) -> bool:
    try:
        title = " ".join(process.cmdline()).strip()
    except psutil.Error:
        return False
    if title.endswith("(retiring)"):
        return role is Role.RETIRING
    return title.startswith(f"genvm-manager {role.value} ")


def _free_port() -> int:
    """Return a free port outside the kernel's ephemeral range: it must be free at each restart."""
    while True:
        port = random.randrange(21_000, 31_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
