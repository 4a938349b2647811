"""As the first process of a container: it reaps all children, signals and exit codes work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.measuring import not_while_measured
from tests.support.service import GENVM_MANAGER, PROJECT
from tests.support.waiting import TIMEOUT, wait_until

UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
PYTHON = (sys.executable, "-P", "-m")


class Container:
    """A command that is the first process of a PID namespace; `folder` is for its state."""

    def __init__(self, folder: Path, *command: str) -> None:
        self.folder = folder
        self.log_path = folder / "log"
        with self.log_path.open("w") as log:
            self._outside = subprocess.Popen(
                [*UNSHARE, *command],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(PROJECT), "HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        inside = wait_until(psutil.Process(self._outside.pid).children, within=TIMEOUT)
        self.first: psutil.Process = inside[0]

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_for(self, *words: str) -> None:
        wait_until(lambda: all(word in self.log for word in words), within=TIMEOUT)

    def enter(self, script: str) -> None:
        """Run a line of shell in it, as `docker exec` does."""
        target = ("nsenter", "--target", str(self.first.pid), "--pid", "--mount")
        subprocess.run([*target, "sh", "-c", script], check=True, timeout=TIMEOUT)

    def children(self, name: str) -> list[psutil.Process]:
        return [each for each in self.first.children() if _name(each) == name]

    def wait(self) -> int:
        return self._outside.wait(TIMEOUT)

    def end(self) -> None:
        if self._outside.poll() is None:
            self._outside.kill()
            self._outside.wait()


def _name(process: psutil.Process) -> str | None:
    try:
        return process.name()
    except psutil.NoSuchProcess:  # It was reaped meanwhile.
        return None


@pytest.fixture(scope="module", autouse=True)
def _permitted() -> None:
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"PID namespaces cannot be had here: {tried.stderr.strip()}")


@contextmanager
def container(*command: str) -> Iterator[Container]:
    """`STATE` in the command is a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="genvm-first-") as name:
        folder = Path(name)
        given = [word.replace("STATE", f"{folder}/state") for word in command]
        running = Container(folder, *given)
        try:
            yield running
        finally:
            running.end()


@contextmanager
def service() -> Iterator[Container]:
    arguments = ("serve", "--state-dir", "STATE", "--port", "0", "--no-precompile")
    with container(GENVM_MANAGER, *arguments) as running:
        running.wait_for("GenVM Manager serves")
        yield running


@contextmanager
def supervisor() -> Iterator[Container]:
    with container(*PYTHON, "genvm_manager.supervisor", "--state-dir", "STATE") as running:
        running.wait_for("supervisor_ready")
        yield running


@contextmanager
def http() -> Iterator[Container]:
    arguments = (
        "genvm_manager.manager.server",
        "--state-dir",
        "STATE",
        "--bind",
        "unix:http.sock",
    )
    with container(*PYTHON, *arguments) as running:
        path = running.folder / "http.sock"

        def answers() -> bool:
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
                try:
                    return client.get("http://localhost/healthz").is_success
                except httpx.TransportError:
                    return False

        wait_until(answers, within=TIMEOUT)
        yield running


def leave_an_orphan(inside: Container, begin: str = "") -> psutil.Process:
    """A process of others that falls to the first one, as what `docker exec` leaves does."""
    inside.enter(f"{begin} sleep 600 &")
    (orphan,) = wait_until(lambda: inside.children("sleep"))
    assert isinstance(orphan, psutil.Process)
    return orphan


@pytest.mark.parametrize("start", [service, supervisor, http])
@pytest.mark.parametrize("begin", ["", "setsid"])
def test_reparented_children_are_reaped_and_a_stop_is_obeyed(
    start: Callable[[], AbstractContextManager[Container]], begin: str
) -> None:
    with start() as running:
        for number in (signal.SIGTERM, signal.SIGKILL):
            leave_an_orphan(running, begin).send_signal(number)
            wait_until(lambda: not running.children("sleep"))
        running.first.send_signal(signal.SIGTERM if begin else signal.SIGINT)
        assert running.wait() == 0, running.log
        assert "Traceback" not in running.log


def test_what_it_waits_for_itself_is_not_taken_away() -> None:
    with service() as running:
        (master,) = [each for each in running.first.children() if "http" in each.cmdline()[0]]
        orphan = leave_an_orphan(running)
        orphan.kill()
        master.kill()
        running.wait_for("HTTP was ended by SIGKILL; starting it again")
        wait_until(lambda: not running.children("sleep"))
        running.first.terminate()
        assert running.wait() == 0, running.log


def test_the_exit_code_passes_through() -> None:
    with container(
        *PYTHON, "genvm_manager.supervisor", "--state-dir", "STATE", "--config", "absent"
    ) as running:
        assert running.wait() == 2
    with supervisor() as running:
        (proper,) = running.first.children()
        proper.kill()
        assert running.wait() == 128 + signal.SIGKILL


@not_while_measured
def test_sigterm_ends_what_has_no_handler_of_its_own() -> None:
    begin = "from genvm_manager.base.process.signals import settle_signals as settle"
    begin += "; settle(); print('begun')"
    with container(sys.executable, "-uc", f"{begin}; import time; time.sleep(600)") as running:
        running.wait_for("begun")
        running.first.terminate()
        assert running.wait() == 128 + signal.SIGTERM
