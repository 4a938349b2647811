"""The service under test: `genvm-manager serve` on a folder of its own, and who is who in it."""

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
"""Seconds in which all that a killed `serve` leaves must be gone."""

HEAL_TIMEOUT = 120.0
"""Seconds within which the service must be whole again after any fault."""

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


class ServiceBroken(Exception):
    """It does not come up, does not stop or does not heal; the message says which."""


class Role(Enum):
    """Who a process is. `RETIRING`: after a reload, until its clients have gone or been silent for
    long enough. `EXECUTOR`: an executor, or what one has started."""

    SERVE = "serve"
    GUARD = "shim"
    SUPERVISOR = "supervisor"
    MASTER = "http master"
    WORKER = "http worker"
    RETIRING = "http worker that retires"
    EXECUTOR = "executor"


@dataclass(frozen=True, slots=True)
class House:
    """The processes of a service at one moment, by role."""

    members: Mapping[Role, list[psutil.Process]]

    @property
    def is_whole(self) -> bool:
        """Whether everybody is there."""
        wanted = dict.fromkeys((Role.SERVE, Role.GUARD, Role.SUPERVISOR, Role.MASTER), 1)
        wanted[Role.WORKER] = HTTP_WORKERS
        return all(len(self.members[role]) == count for role, count in wanted.items())

    @property
    def on_duty(self) -> list[psutil.Process]:
        """All but those that retire."""
        retiring = self.members[Role.RETIRING]
        return [process for process in self.all if process not in retiring]

    @property
    def all(self) -> list[psutil.Process]:
        return [process for members in self.members.values() for process in members]

    def one(self, role: Role) -> psutil.Process:
        """The only one of a role, of a house that is whole."""
        (process,) = self.members[role]
        return process


class ServiceUnderTest:
    """Started, stopped and killed at will; always on the same port and folder."""

    def __init__(self, cgroup: str | None = None) -> None:
        """`cgroup`: below which runs get one each, as the setting of that name has it."""
        self.cgroup = cgroup
        self.folder = Path(tempfile.mkdtemp(prefix="genvm-chaos-"))
        self.state = self.folder / "state"
        self.witnessed = self.folder / "witnessed"
        self.log_path = self.folder / "log"
        self.port = _free_port()
        self.witnessed.mkdir()
        (self.folder / "home").mkdir()
        config = f"{_CONFIG}cgroup: {cgroup or 'null'}\n"
        (self.folder / "config.yaml").write_text(config)
        (self.folder / "manifest.yaml").write_text(manifest(self.witnessed))
        self._serve: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=5)

    # ---------------------------------------------------------------------------- start, stop

    def start(self) -> int:
        """Start it and wait until it serves; gives how often it was in vain.

        It is in vain while what a killed one left still holds the folder.
        """
        deadline = time.monotonic() + START_TIMEOUT
        attempts = 0
        while time.monotonic() < deadline:
            self.launch()
            if self._comes_up(deadline):
                return attempts
            attempts += 1
        raise ServiceBroken(f"serve did not start within {START_TIMEOUT:.0f} s")

    def stop(self) -> int:
        """Ask it to stop and wait for that; its exit code."""
        assert self._serve is not None
        self._serve.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Its exit code, when it has been asked to stop or was killed."""
        assert self._serve is not None
        try:
            return self._serve.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ServiceBroken(f"serve did not stop within {STOP_TIMEOUT:.0f} s") from None

    def end_all(self) -> None:
        """Kill it and whatever is left of it.

        `serve` first: it would start others, and without it the supervisor ends its runs, those
        that have no name too.
        """
        self._http.close()
        if self._serve is not None:
            self._serve.kill()
            self._serve.wait()
        patient_until = time.monotonic() + LEFT_TIMEOUT
        while left := self.processes():
            for process in left if time.monotonic() > patient_until else ():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(_PAUSE)

    def discard(self) -> None:
        """Leave no trace of it."""
        self.end_all()
        shutil.rmtree(self.folder)

    # ----------------------------------------------------------------------------- who is there

    def processes(self) -> list[psutil.Process]:
        """All that have its folder in their command line or environment."""
        return processes_of(self.folder)

    def house(self) -> House:
        """Who is there now."""
        assert self._serve is not None
        serve = []
        with suppress(psutil.NoSuchProcess):
            serve = [psutil.Process(self._serve.pid)] if self._serve.poll() is None else []
        shim = _those(Role.GUARD, serve)
        supervisor = _those(Role.SUPERVISOR, shim)
        master = _those(Role.MASTER, serve)
        return House(
            {
                Role.SERVE: serve,
                Role.GUARD: shim,
                Role.SUPERVISOR: supervisor,
                Role.MASTER: master,
                Role.WORKER: _those(Role.WORKER, master),
                Role.RETIRING: _those(Role.RETIRING, master),
                Role.EXECUTOR: [each for one in supervisor for each in _descendants(one)],
            }
        )

    def whole(self, without: Collection[psutil.Process] = ()) -> House:
        """Who is there, once everybody is, though none of these, and new runs are taken."""
        deadline = time.monotonic() + HEAL_TIMEOUT
        while time.monotonic() < deadline:
            house = self.house()
            if not house.members[Role.SERVE]:
                raise ServiceBroken(f"serve ended by itself with {self.wait()}")
            is_healed = house.is_whole and not set(without) & set(house.on_duty)
            if is_healed and self._has_started() and self.is_ready():
                return house
            time.sleep(_PAUSE)
        raise ServiceBroken(f"the service is not whole within {HEAL_TIMEOUT:.0f} s")

    def is_ready(self) -> bool:
        """Whether it takes runs."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.HTTPError:
            return False

    @property
    def log(self) -> str:
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
        """Whether `serve` has done with its start: it has left its note."""
        return find_service(self.state) is not None

    def _comes_up(self, deadline: float) -> bool:
        """Whether it does before it ends."""
        assert self._serve is not None
        while time.monotonic() < deadline:
            if self._serve.poll() is not None:
                return False
            if self.house().is_whole and self._has_started() and self.is_ready():
                return True
            time.sleep(_PAUSE)
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    """psutil would look at every process of the machine."""
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
    """The children that say that they are in this role."""
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
    """Not one that the kernel gives to whoever asks for any: it must be free after each restart."""
    while True:
        port = random.randrange(21_000, 31_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
