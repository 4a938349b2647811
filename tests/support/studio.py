"""GenLayer Studio's side: a tree from `install-root`, its `bin/genvm-modules`, and raw HTTP."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genvm_manager.base.files.state_folder import modules_state_folder
from genvm_manager.manager.launcher.service_file import find_service
from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address

from .service import GENVM_MANAGER, processes_of
from .waiting import TIMEOUT, wait_until

START_DEADLINE = TIMEOUT
CONTRACT = Address(b"\x01" * 20)
SENDER = Address(b"\x0a" * 20)

CRASHING, SLEEPING, DEAF = 1, 2, 3
"""Majors of the executors that a test's tree offers besides the built-in one, which is 0."""

_PROGRAMS = {
    CRASHING: "kill -SEGV $$",
    SLEEPING: "exec sleep 600",
    # Ignores what asks it to stop, and has a grandchild in a session of its own.
    DEAF: "trap '' TERM INT HUP; setsid sleep 600 & while :; do sleep 1; done",
}


@dataclass(frozen=True)
class Answer:
    """An HTTP reply: its JSON is parsed."""

    status: int
    json: Any


class Studio:
    """Installs a tree in a fresh folder and speaks with the manager that it starts there.

    The folder's name has what is awkward in a shell. Leaving the context removes every trace.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="genvm-test-"))
        self.root = self.folder / "Studio's $genvm"
        self.state = self.folder / "state"
        self.port = free_port()

    def __enter__(self) -> Studio:
        installed = self.install()
        assert installed.returncode == 0, installed.stderr
        self._offer_programs()
        return self

    def __exit__(self, *_: object) -> None:
        for process in processes_of(self.folder):
            process.kill()
        shutil.rmtree(self.folder)

    @property
    def program(self) -> str:
        """What Studio starts."""
        return str(self.root / "bin" / "genvm-modules")

    @property
    def command(self) -> list[str]:
        """The command that starts the manager."""
        return [self.program, "manager", "--port", str(self.port), "--die-with-parent"]

    @property
    def environment(self) -> dict[str, str]:
        """Compiled guests are shared with the machine's other tests; all else is its own."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "XDG_STATE_HOME": str(self.state),
            "TMPDIR": str(self.folder),
        }

    @property
    def log(self) -> str:
        """What the manager and its processes have printed."""
        return (self.folder / "log").read_text()

    def install(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `genvm-manager install-root` on this tree."""
        return subprocess.run(
            [GENVM_MANAGER, "install-root", str(self.root), *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start the manager, or the `command` that is to start it."""
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command or self.command,
                env=self.environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def await_status(self) -> Any:
        """Ask for `/status` until there is an answer, as Studio does after a start."""
        try:
            return wait_until(self._status, START_DEADLINE)
        except AssertionError as error:
            raise AssertionError(self.log) from error

    def _status(self) -> Any:
        try:
            answer = self.ask("GET", "/status")
        except OSError:
            return None
        return answer.json if answer.status == 200 else None

    def ask(self, method: str, target: str, body: bytes | None = None, *lines: str) -> Answer:
        """Send one request on a connection of its own, in the bytes that aiohttp sends.

        `lines` are further lines of its head.
        """
        head = [
            f"{method} {target} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Accept: */*",
            "Accept-Encoding: gzip, deflate",
            "User-Agent: Python/3.12 aiohttp/3.9.5",
            *([] if body is None else [f"Content-Length: {len(body)}"]),
            *lines,
        ]
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as connection:
            connection.sendall("\r\n".join([*head, "", ""]).encode() + (body or b""))
            response = http.client.HTTPResponse(connection, method=method)
            response.begin()
            return Answer(response.status, json.loads(response.read()))

    def start_run(self, request: dict[str, Any], *lines: str) -> int:
        """Post a run request in calldata and return its id."""
        answer = self.ask("POST", "/genvm/run", calldata.encode(request), *lines)
        assert answer.status == 200, answer
        assert answer.json["result"] == "started"
        return int(answer.json["id"])

    def poll(self, genvm_id: int) -> dict[str, Any] | None:
        """Return the run's `status`, which is null while it runs."""
        answer = self.ask("GET", f"/genvm/{genvm_id}")
        assert answer.status == 200, answer
        assert answer.json["genvm_id"] == genvm_id
        status: dict[str, Any] | None = answer.json["status"]
        return status

    def is_up(self) -> bool:
        """Whether the manager has started in full and has not begun to stop."""
        folder = modules_state_folder(self.environment, f"127.0.0.1:{self.port}")
        try:
            return find_service(folder) is not None and self.ask("GET", "/readyz").status == 200
        except OSError:
            return False

    def stop(self, process: subprocess.Popen[bytes], number: signal.Signals) -> int:
        """Send the signal and return the exit code."""
        process.send_signal(number)
        return process.wait(TIMEOUT)

    def leftovers(self) -> list[object]:
        """Return the processes, sockets and temporary files of this manager."""
        left: list[object] = [*processes_of(self.folder)]
        left += [path for path in self.folder.rglob("*") if path.is_socket()]
        left += self.folder.glob("state/genvm-modules/*/tmp/*")
        return [*left, *self.folder.glob("state/genvm-modules/*/service.json")]

    def _offer_programs(self) -> None:
        manifest = self.root / "data" / "manifest.yaml"
        for major, script in _PROGRAMS.items():
            program = self.root / "executor" / f"v{major}.0.0" / "bin" / "genvm"
            program.parent.mkdir(parents=True)
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
            with manifest.open("a") as file:
                file.write(f"  v{major}.0.0: {{ available_after: 2024-01-01T00:00:00Z }}\n")


def free_port() -> int:
    """Return a TCP port of loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def studio_request(host: str = "unix:///nowhere.sock", **fields: Any) -> dict[str, Any]:
    """Return a run request with all fields that Studio sends."""
    return {
        "major": 0,
        "message": {
            "contract_address": CONTRACT,
            "sender_address": SENDER,
            "origin_address": SENDER,
            "signer_address": SENDER,
            "chain_id": 61_999,
            "value": 0,
            "is_init": False,
            "datetime": "2026-02-03T04:05:06.000000Z",
        },
        "is_sync": True,
        "capture_output": True,
        "host_data": '{"node_address": "0x01", "tx_id": "0x02"}',
        "max_execution_minutes": 20,
        "timestamp": datetime.now(UTC).isoformat(),
        "host": host,
        "extra_args": ["--debug-mode"],
        "permissions": "rwscn",
        "code": None,
        "calldata": calldata.encode({}),
        "leader_nondet_results": None,
        **fields,
    }
