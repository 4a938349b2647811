"""A real service for tests: `genvm-manager serve` on a free port and a fresh state folder."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from genvm_manager.manager.client.client import HttpClient
from genvm_manager.manager.launcher.service_file import find_service
from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address

from .waiting import TIMEOUT, wait_until

PROJECT = Path(__file__).resolve().parent.parent.parent
GENVM_MANAGER = str(Path(sys.executable).with_name("genvm-manager"))
OBEDIENT = PROJECT / "tests" / "children" / "obedient.py"
START_DEADLINE = TIMEOUT
STOP_DEADLINE = TIMEOUT

QUICKLY_GIVEN_UP = """
from genvm_manager.base.process.backoff import Backoff
Backoff.__init__.__defaults__ = (0.05, 0.5, 600.0, 8)
"""
"""For `customize`: short pauses between restarts, and a window that no slow machine outlasts."""

_MANIFEST = """
executor_versions:
  v0.2.7:
    available_after: "2024-01-01T00:00:00Z"
    command: ["${{python}}", "{program}"]
"""


def run_request(orders: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Return a run request for the executor `obedient`, as a value for calldata."""
    address = Address(b"\1" * 20)
    return {
        "major": 0,
        "message": {
            "contract_address": address,
            "sender_address": address,
            "origin_address": address,
            "chain_id": 1,
            "value": 0,
            "is_init": False,
        },
        "calldata": calldata.encode(orders or {}),
        "timestamp": datetime.now(UTC).isoformat(),
        "host": "unix:///nowhere.sock",
        "is_sync": True,
        **fields,
    }


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return the living processes that have the folder in their command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            said = [*process.cmdline(), *process.environ().values()]
            if process.status() != psutil.STATUS_ZOMBIE and any(str(folder) in w for w in said):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _is_pythons(path: Path) -> bool:
    """Whether it is the cache, or what tempfile writes to see whether it can: a process that is
    killed in between leaves it."""
    is_trial = len(path.name) == 8 and path.is_file() and path.read_bytes() in (b"", b"blat")
    return path.name == "cache" or is_trial


class RunningService:
    """`genvm-manager serve`, started by entering and stopped by leaving.

    Leaving it checks that it stopped as asked, in time, and that no process, socket, service file
    or temporary file is left. `executor` is a Python program that stands in for GenVM; None: the
    built-in executor. `customize` is Python that every process of it begins with. `environment` are
    variables that it is started with besides its own.
    """

    def __init__(
        self,
        *options: str,
        config: str = "",
        executor: Path | None = OBEDIENT,
        customize: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="genvm-test-"))
        # Browsers are another user's, who has to get to his temporary files.
        self.folder.chmod(0o755)
        self.state = self.folder / "state"
        self._scratch = self.folder / "scratch"
        self._scratch.mkdir()
        self._python_path = self.folder / "python"
        self._python_path.mkdir()
        (self._python_path / "sitecustomize.py").write_text(customize)
        self._variables = environment or {}
        self._options = [*options, "--config", str(self._file("config.yaml", config))]
        if executor is not None:
            manifest = self._file("manifest.yaml", _MANIFEST.format(program=executor))
            self._options += ["--manifest-path", str(manifest)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> RunningService:
        try:
            self.start()
        except BaseException:
            self.discard()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            exit_code = self.stop()
            if kind is None:
                assert exit_code == 0, self.log
                assert "illegal_run_move" not in self.log, self.log
                assert "audit_violation" not in self.log, self.log
                self.assert_nothing_left()
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove every trace, whatever state it is in."""
        for process in processes_of(self.folder):
            process.kill()
        shutil.rmtree(self.folder)

    def start(self, **how: Any) -> None:
        """Start and wait until it serves; `how` goes to `launch`."""
        self._process = self.launch(self.folder / "log", **how)
        wait_until(self._is_up, START_DEADLINE)
        url = find_service(self.state)
        assert url is not None
        self.client = HttpClient(url)
        self.http = httpx.Client(
            base_url=url if url.startswith("http") else "http://localhost", timeout=TIMEOUT
        )
        self.url = url

    def launch(
        self, log: Path, *options: str, before: Sequence[str] = (), **how: Any
    ) -> subprocess.Popen[str]:
        """Start `genvm-manager serve` on this state folder, with its output in the file `log`.

        The words `before` come first.
        """
        with log.open("a") as output:
            return subprocess.Popen(
                [*before, *self._command([*self._options, *options])],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                text=True,
                env=self.environment,
                cwd=self.folder,
                **how,
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait for the end and return the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self.client.close()
            self.http.close()
            self._process.send_signal(number)
        return self.wait(STOP_DEADLINE)

    def wait(self, within: float) -> int:
        """Wait for the end of `genvm-manager serve` and return its exit code."""
        assert self._process is not None
        return self._process.wait(within)

    def genvm_manager(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command to its end beside the service."""
        return subprocess.run(
            [GENVM_MANAGER, *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=TIMEOUT,
            check=False,
        )

    @property
    def process(self) -> psutil.Process:
        """`genvm-manager serve` itself."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    @property
    def log(self) -> str:
        """What serve and its processes have printed."""
        return (self.folder / "log").read_text()

    def half(self, name: str) -> psutil.Process:
        """Return the supervisor, its shim or gunicorn's master: `supervisor`, `shim`, `http`."""
        title = f"genvm-manager {'http master' if name == 'http' else name} "

        def found() -> psutil.Process | None:
            descendants = self.process.children(recursive=True)
            titles = ((each, " ".join(command_line(each))) for each in descendants)
            return next((each for each, found in titles if found.startswith(title)), None)

        process = wait_until(found)
        assert isinstance(process, psutil.Process)
        return process

    @contextmanager
    def without_supervisor(self) -> Iterator[None]:
        """Kill the supervisor and keep serve from starting another one; it may at the end."""
        self.process.suspend()
        try:
            self.half("supervisor").send_signal(signal.SIGKILL)
            wait_until(lambda: self.http.get("/status").status_code == 503)
            yield
        finally:
            self.process.resume()
        wait_until(lambda: self.http.get("/readyz").is_success)

    def start_run(self, orders: dict[str, Any] | None = None, **fields: Any) -> int:
        """Start a run of the executor `obedient` and return its id."""
        return self.client.start_run(calldata.encode(run_request(orders, **fields)))

    def assert_nothing_left(self) -> None:
        """Check that no process, socket, service file or temporary file is left."""
        wait_until(lambda: not processes_of(self.folder))
        left = [path for path in self.folder.rglob("*") if path.is_socket()]
        left += [path for path in self._scratch.iterdir() if not _is_pythons(path)]
        left += [self.state / "service.json"] if (self.state / "service.json").exists() else []
        tmp = self.state / "tmp"
        left += list(tmp.iterdir()) if tmp.is_dir() else []
        assert not left, left

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        return find_service(self.state) is not None

    def _command(self, options: Sequence[str]) -> list[str]:
        port = [] if "--socket" in options else ["--port", "0"]
        return [GENVM_MANAGER, "serve", "--state-dir", str(self.state), *port, *options]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the service and of commands beside it."""
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self._scratch),
            "TMPDIR": str(self._scratch),
            "PYTHONPATH": f"{self._python_path}:{PROJECT}",
            **self._variables,
        }

    def _file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


def command_line(process: psutil.Process) -> list[str]:
    """Return the words of its command line; none when it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []
