"""An operator: types commands at a service, and looks at what they print."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from .service import GENVM_MANAGER, RunningService
from .waiting import TIMEOUT, wait_until

DEADLINE = TIMEOUT


class LiveCommand:
    """A command that runs; `stdout` and `stderr` are what it has printed by now."""

    def __init__(self, service: RunningService, arguments: Sequence[str]) -> None:
        number = len(list(service.folder.glob("typed-*")))
        self._printed = [service.folder / f"typed-{number}-{name}" for name in ("out", "err")]
        with self._printed[0].open("w") as out, self._printed[1].open("w") as err:
            self.process = subprocess.Popen(
                [GENVM_MANAGER, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=service.environment,
            )

    @property
    def stdout(self) -> str:
        """What the command has printed to stdout so far."""
        return self._printed[0].read_text()

    @property
    def stderr(self) -> str:
        """What the command has printed to stderr so far."""
        return self._printed[1].read_text()

    def ends(self) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(DEADLINE)


class Terminal:
    """A command on a terminal of 80 columns and 24 lines; `seen` is all that was written there."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.seen = ""
        self._pid, self._descriptor = pty.fork()
        if self._pid == 0:
            size = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
            os.execve(command[0], list(command), {**environment, **size})

    def shows(self, text: str, within: float = DEADLINE) -> None:
        """Wait until the text has been written."""
        deadline = time.monotonic() + within
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.seen!r}"
            assert self._read(0.2) or text in self.seen, self.seen

    def forget(self) -> None:
        """Look at what comes from now on only."""
        self.seen = ""

    def is_line_by_line(self) -> bool:
        """Whether it hands over what is typed after Enter only, as terminals do."""
        return bool(termios.tcgetattr(self._descriptor)[3] & termios.ICANON)

    def press(self, key: str) -> None:
        """Press a key."""
        os.write(self._descriptor, key.encode())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command."""
        os.kill(self._pid, number)

    def ends(self) -> int:
        """Wait for its end and return its exit code."""
        while self._read(DEADLINE):
            pass
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self._pid = 0
        return code

    def close(self) -> None:
        """Kill the command if it still runs, and close the terminal."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._descriptor)

    def _read(self, within: float) -> bool:
        """Take in what comes; False when the terminal's other end is closed."""
        ready, _, _ = select.select([self._descriptor], [], [], within)
        if not ready:
            return True
        try:
            received = os.read(self._descriptor, 1 << 16)
        except OSError:
            return False
        self.seen += received.decode("utf-8", "replace")
        return bool(received)


class Operator:
    """Types at one service, which is found by its state folder."""

    def __init__(self, service: RunningService) -> None:
        self.service = service
        self._where = ("--state-dir", str(service.state))

    def types(
        self,
        *arguments: str,
        code: int = 0,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, which must exit with `code`; `environment` is added to the usual one."""
        ended = subprocess.run(
            [GENVM_MANAGER, *arguments, *self._where],
            input=stdin,
            capture_output=True,
            text=True,
            env={**self.service.environment, **(environment or {})},
            timeout=TIMEOUT,
            check=False,
        )
        assert ended.returncode == code, ended
        return ended

    def reads(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with --json and return what it prints."""
        return json.loads(self.types(*arguments, "--json", code=code).stdout)

    @contextmanager
    def watches(self, *arguments: str) -> Iterator[LiveCommand]:
        """Start a command and leave it running."""
        command = LiveCommand(self.service, [*arguments, *self._where])
        try:
            yield command
        finally:
            command.process.kill()
            command.process.wait()

    @contextmanager
    def sits_at(self, *arguments: str) -> Iterator[Terminal]:
        """Start a command on a terminal."""
        command = [GENVM_MANAGER, *arguments, *self._where]
        terminal = Terminal(command, self.service.environment)
        try:
            yield terminal
        finally:
            terminal.close()

    @contextmanager
    def fills_the_queue(self, orders: dict[str, Any]) -> Iterator[tuple[int, Future[int]]]:
        """Start runs that hold all permits, and yield the id of a queued run with these orders.

        All are ended at the end.
        """
        client = self.service.client
        first = [self.service.start_run({"sleep_ms": 600_000}) for _ in range(client.permits().max)]
        waiting = first[-1] + 1
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(self.service.start_run, orders)
            try:
                wait_until(lambda: str(waiting) in client.status().executions)
                yield waiting, future
            finally:
                for run_id in first:
                    client.cancel(run_id, grace_ms=0)
