"""Starts what is measured: the real service, and the bare Flask beside it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from genvm_manager.base.files.state_folder import service_file
from tests.support.retained_runs import retain_runs

MANIFEST = """\
executor_versions:
  v0.2.0:
    available_after: "2020-01-01T00:00:00Z"
    command: {command}
"""
COMMAND = Path(sys.executable).with_name("genvm-manager")
PROJECT = Path(__file__).resolve().parent.parent
CONFIG = """\
permits: {{total: {permits}}}
log_level: error
execution_retention: 1h
executor_env: {{PYTHONPATH: "{project}"}}
"""


@dataclass(frozen=True)
class Service:
    """A service to be measured."""

    port: int
    state_folder: Path

    def process(self, role: str) -> psutil.Process:
        """Return the first of its processes in a role: `supervisor`, `http worker`."""
        return self.processes(role)[0]

    def processes(self, role: str) -> list[psutil.Process]:
        """Return its processes in a role."""
        title = f"genvm-manager {role} {self.state_folder}"
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if " ".join(process.info["cmdline"] or []).startswith(title)
        ]


@contextmanager
def service(
    retained: int = 0, permits: int = 64, executor: Sequence[str] = ("/bin/true",)
) -> Iterator[Service]:
    """Start the real service in a folder of its own, with the command of an executor.

    `retained`: the number of finished runs in its store at the start.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="genvm-bench-")))
        (folder / "manifest.yaml").write_text(MANIFEST.format(command=json.dumps(executor)))
        (folder / "config.yaml").write_text(CONFIG.format(permits=permits, project=PROJECT))
        retain_runs(folder / "state", retained)
        port = free_port()
        options = [f"--port={port}", f"--state-dir={folder / 'state'}", "--no-precompile"]
        options += [f"--config={folder / 'config.yaml'}"]
        options += [f"--manifest-path={folder / 'manifest.yaml'}"]
        stack.enter_context(process([str(COMMAND), "serve", *options]))
        file = service_file(folder / "state")
        wait_until(lambda: file.exists() and "url" in json.loads(file.read_text() or "{}"))
        yield Service(port, folder / "state")


@contextmanager
def bare_flask() -> Iterator[int]:
    """Start Flask on the same gunicorn settings with an echo server behind it; yield its port."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="genvm-bench-")))
        echo, port = folder / "echo.sock", free_port()
        stack.enter_context(baseline("echo_server", str(echo)))
        wait_until(echo.exists)
        stack.enter_context(baseline("flask_server", str(port), str(folder)))
        wait_until(lambda: is_listening(port))
        yield port


@contextmanager
def baseline(module: str, *arguments: str) -> Iterator[None]:
    """Run a module of `benchmarks.baselines` while the context is entered."""
    with process([sys.executable, "-m", f"benchmarks.baselines.{module}", *arguments]):
        yield


@contextmanager
def process(command: list[str]) -> Iterator[None]:
    """Run a process; stop it by SIGTERM at the end."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            yield
        finally:
            child.terminate()
            child.wait(30)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Return whether something listens at a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(fact: Callable[[], bool], within: float = 60.0) -> None:
    """Wait until a fact is true. Raises `TimeoutError` after `within` seconds."""
    deadline = time.monotonic() + within
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError("a server did not come up")
        time.sleep(0.02)
