"""The service as an administrator has it: installed by scripts/install on a machine of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import psutil

from genvm_manager.manager.client.client import HttpClient
from genvm_manager.protocol import calldata
from genvm_manager.protocol.http_api import FinishedRunReply, StatusReply
from genvm_manager.workers.genvm.cli import default_cache_dir
from genvm_manager.workers.genvm.engine.private_cache import _stamp

from .machine import Machine
from .service import OBEDIENT, PROJECT, run_request
from .waiting import TIMEOUT, wait_until

WHEELS = PROJECT / ".venv" / "wheels"
CHECKOUT = "/root/genvm-manager"
SETTINGS = "/etc/genvm-manager/genvm-manager.yaml"
TOKEN = "/etc/genvm-manager/token"
HTTP_SOCKET = "/run/genvm-manager/http.sock"
SUPERVISOR = "genvm-supervisor.service"
MANAGER = "genvm-manager.service"
SOCKET = "genvm-manager.socket"
OBEDIENT_MAJOR = 1
KEY_MAJOR = 2
"""An executor that prints the key in the environment file."""

KEY = "a-key-of-the-tests"

_SOURCES = ("base", "manager", "protocol", "supervisor", "workers", "scripts", "systemd", "docs")
_ADDED_SETTINGS = """
manifest_path: /etc/genvm-manager/manifest.yaml
permits: {total: 4}
"""
_MANIFEST = f"""
executor_versions:
  v0.2.0:
    available_after: "2024-01-01T00:00:00Z"
    command: ["${{python}}", "-m", "genvm_manager.workers.genvm"]
  v{OBEDIENT_MAJOR}.0.0:
    available_after: "2024-01-01T00:00:00Z"
    command: ["${{python}}", "-P", "/etc/genvm-manager/obedient.py"]
  v{KEY_MAJOR}.0.0:
    available_after: "2024-01-01T00:00:00Z"
    command: ["/bin/echo", "${{ENV[OPENAIKEY]}}"]
"""

_ASKS_AGAIN_AND_AGAIN = """
import collections, http.client, json, select, sys
answers = collections.Counter()
headers = {"Authorization": "Bearer " + open(sys.argv[1]).read().strip()}
print(flush=True)
while not select.select([sys.stdin], [], [], 0.01)[0]:
    connection = http.client.HTTPConnection("127.0.0.1", 3999, timeout=60)
    try:
        connection.request("GET", "/status", headers=headers)
        reply = connection.getresponse()
        reply.read()
        answers[f"{reply.status} {reply.getheader('Retry-After', '')}".strip()] += 1
    except Exception as error:
        answers[type(error).__name__] += 1
    finally:
        connection.close()
print(json.dumps(answers))
"""


@dataclass
class Answers:
    """How often a client that asks again and again was answered what: `200`, `503 1`, an error."""

    counts: dict[str, int] = field(default_factory=dict)


class InstalledService:
    """Is there once `install` has been called; an administrator works on it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._lay_down_checkout()
        self._bring_compiled_guest()

    def install(self, *options: str) -> str:
        """Run scripts/install and return its output."""
        script = f"{CHECKOUT}/scripts/install"
        return self.machine.run(script, "--wheels", "/root/wheels", *options, within=300)

    def uninstall(self, *options: str) -> str:
        """Run scripts/uninstall and return its output."""
        return self.machine.run(f"{CHECKOUT}/scripts/uninstall", *options)

    def configure(self) -> None:
        """Add an executor that does as it is told, and restart."""
        settings = self.machine.path(SETTINGS)
        settings.write_text(settings.read_text() + _ADDED_SETTINGS)
        settings.with_name("manifest.yaml").write_text(_MANIFEST)
        shutil.copy(OBEDIENT, settings.with_name("obedient.py"))
        settings.with_name("environment").write_text(f"OPENAIKEY={KEY}\n")
        self.machine.run("systemctl", "restart", SUPERVISOR, MANAGER)

    def edit_unit(self, unit: str, *lines: str) -> None:
        """Add lines to a unit as `systemctl edit` does; without lines, remove those added."""
        folder = self.machine.path(f"/etc/systemd/system/{unit}.d")
        if lines:
            folder.mkdir(exist_ok=True)
            (folder / "override.conf").write_text("\n".join(["[Service]", *lines, ""]))
        else:
            shutil.rmtree(folder)
        self.machine.run("systemctl", "daemon-reload")

    @property
    def http(self) -> httpx.Client:
        """A plain client at the Unix socket."""
        return httpx.Client(
            base_url="http://localhost",
            transport=httpx.HTTPTransport(uds=str(self.machine.path(HTTP_SOCKET))),
            headers={"Authorization": f"Bearer {self._token()}"},
        )

    @contextmanager
    def client(self) -> Iterator[HttpClient]:
        """Connect a client inside the machine."""
        with HttpClient(f"unix:{self.machine.path(HTTP_SOCKET)}", self._token()) as client:
            yield client

    def _token(self) -> str:
        return self.machine.path(TOKEN).read_text().strip()

    def start_run(self, major: int = OBEDIENT_MAJOR, **orders: object) -> int:
        """Start a run, by default of the executor that does as it is told."""
        with self.client() as client:
            return client.start_run(calldata.encode(run_request(orders, major=major)))

    def cancel(self, run_id: int) -> None:
        """Cancel a run at once."""
        with self.client() as client:
            client.cancel(run_id, grace_ms=0)

    def status(self) -> StatusReply:
        """Return the status."""
        with self.client() as client:
            return client.status()

    def wait_until_ready(self) -> None:
        """Wait until the service accepts runs."""
        with self.client() as client:
            wait_until(client.is_ready)

    def finished(self, run_id: int) -> FinishedRunReply:
        """Wait until the service answers, then for a run's end, and return it."""
        with self.client() as client:
            wait_until(client.is_ready)
            run = client.get_run(run_id, wait=TIMEOUT).status
        assert run is not None
        return run

    def cause_of(self, run_id: int) -> str:
        """Wait for a run's end and return its cause."""
        return str(self.finished(run_id).cause)

    def process(self, title: str) -> psutil.Process:
        """Return the process with a title: `supervisor`, `shim`, `http master`."""

        def found() -> psutil.Process | None:
            for process in self.machine.processes():
                if _words(process).startswith(f"genvm-manager {title} "):
                    return process
            return None

        process = wait_until(found)
        assert isinstance(process, psutil.Process)
        return process

    def executors(self) -> list[psutil.Process]:
        """Return all processes of runs."""
        return self.process("supervisor").children(recursive=True)

    @contextmanager
    def asked_again_and_again(self) -> Iterator[Answers]:
        """Have a client ask over TCP meanwhile, with a new connection each time."""
        answers = Answers()
        asking = subprocess.Popen(
            self.machine.command("/usr/bin/python3", "-c", _ASKS_AGAIN_AND_AGAIN, TOKEN),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert asking.stdout is not None
        asking.stdout.readline()
        try:
            yield answers
        finally:
            said, _ = asking.communicate("stop", timeout=TIMEOUT)
        answers.counts = json.loads(said)

    def _lay_down_checkout(self) -> None:
        checkout = self.machine.path(CHECKOUT)
        checkout.mkdir()
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        for name in _SOURCES:
            shutil.copytree(PROJECT / name, checkout / name, ignore=ignored)
        for path in (*PROJECT.glob("*.lock"), *PROJECT.glob("*.md"), *PROJECT.glob("*.cfg")):
            shutil.copy(path, checkout)
        for name in ("LICENSE", "pyproject.toml"):
            shutil.copy(PROJECT / name, checkout)
        shutil.copytree(WHEELS, self.machine.path("/root/wheels"))

    def _bring_compiled_guest(self) -> None:
        """Copy what is compiled already: it takes half a minute and is not tested here."""
        if not default_cache_dir().is_dir():
            return
        home = "/var/cache/genvm-manager"
        cache = self.machine.path(f"{home}/.cache/genvm-manager")
        shutil.copytree(default_cache_dir(), cache)
        self.machine.run("systemd-sysusers", f"{CHECKOUT}/systemd/sysusers.d/genvm-manager.conf")
        self.machine.run("chown", "--recursive", "genvm-manager:genvm-manager", home)
        # The cache trusts no copy.
        for stamp in cache.rglob("*.stamp"):
            stamp.write_bytes(_stamp(stamp.with_suffix("").stat()))


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
