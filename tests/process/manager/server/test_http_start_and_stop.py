"""HTTP says that it is ready when it is, and stops at once, without cutting anybody off."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil
import pytest

from genvm_manager.manager.server.service import EXIT_BAD_CONFIG
from tests.support.service_manager import Listener
from tests.support.supervisor import PROJECT
from tests.support.waiting import TIMEOUT, wait_until

GUNICORN_GIVES = 5.0
"""Seconds that requests have to end."""

IN_WORKERS = """
import os, time
os.register_at_fork(after_in_child=lambda: {act})
"""


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path / "notify")
    yield listener
    listener.close()


@contextmanager
def http(folder: Path, listener: Listener) -> Iterator[subprocess.Popen[bytes]]:
    """The HTTP half without a supervisor, with one worker; modules are found in `folder` first."""
    (folder / "config.yaml").write_text("http_workers: 1")
    command = [
        sys.executable,
        "-m",
        "genvm_manager.manager.server",
        "--state-dir",
        str(folder),
    ]
    command += ["--config", str(folder / "config.yaml"), "--bind", "127.0.0.1:0"]
    environment = listener.environment | {"PYTHONPATH": str(folder)}
    with subprocess.Popen(command, cwd=PROJECT, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def has_accepted(worker: psutil.Process, client: HTTPConnection) -> bool:
    return client.sock.getsockname() in [each.raddr for each in worker.net_connections("tcp")]


def worker_of(process: subprocess.Popen[bytes]) -> psutil.Process:
    return wait_until(lambda: psutil.Process(process.pid).children(), TIMEOUT)[0]


def test_http_is_ready_when_a_worker_serves(tmp_path: Path, listener: Listener) -> None:
    (tmp_path / "sitecustomize.py").write_text(IN_WORKERS.format(act="time.sleep(1)"))
    with http(tmp_path, listener) as process:
        worker_of(process)
        begun = time.monotonic()
        status = listener.hear_until("READY", "1")["STATUS"]
        assert time.monotonic() - begun > 0.5
        client = HTTPConnection(status.removeprefix("on http://"), timeout=TIMEOUT)
        client.request("GET", "/healthz")
        assert client.getresponse().status == 200
        client.close()
        listener.hear_until("WATCHDOG", "1")
        process.terminate()
        assert process.wait(TIMEOUT) == 0


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ("http_workers: none", "http_workers: expected int"),
        ("token_file: /nowhere/token", "/nowhere/token"),
        ("bind_address: everywhere", "bind_address"),
    ],
)
def test_settings_that_cannot_be_used_are_an_end_of_their_own(
    tmp_path: Path, settings: str, complaint: str
) -> None:
    (tmp_path / "config.yaml").write_text(settings)
    command = [
        sys.executable,
        "-m",
        "genvm_manager.manager.server",
        "--state-dir",
        str(tmp_path),
    ]
    command += ["--config", str(tmp_path / "config.yaml")]
    ended = subprocess.run(
        command, check=False, cwd=PROJECT, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert ended.returncode == EXIT_BAD_CONFIG, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("genvm-manager http: ")
    assert complaint in line


@pytest.mark.parametrize(
    "arguments",
    [[b"--state-dir", b"/tmp/\xff"], [b"--state-dir", b"/tmp/x", b"--bind", b"\xff:1"], [b"\xff"]],
)
def test_an_argument_that_is_no_text_is_said_in_a_sentence(arguments: list[bytes]) -> None:
    ended = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"genvm_manager.manager.server", *arguments],
        check=False, cwd=PROJECT, capture_output=True, text=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert ended.returncode == EXIT_BAD_CONFIG
    (line,) = ended.stderr.splitlines()
    assert line.startswith("genvm-manager http: the argument b'")
    assert line.endswith("is not UTF-8; rename what it names")


def test_http_whose_workers_fail_is_never_ready(tmp_path: Path, listener: Listener) -> None:
    (tmp_path / "sitecustomize.py").write_text(IN_WORKERS.format(act="os._exit(3)"))
    with http(tmp_path, listener) as process:
        assert process.wait(TIMEOUT) == 3
        assert all("READY" not in said for said in listener.all_heard())


def test_http_is_stopped_at_once_though_its_workers_are_only_starting(
    tmp_path: Path, listener: Listener
) -> None:
    (tmp_path / "sitecustomize.py").write_text(IN_WORKERS.format(act="time.sleep(1)"))

    def is_stopped_before_requests_would_be_given_up() -> bool:
        with http(tmp_path, listener) as process:
            worker_of(process)
            process.terminate()
            begun = time.monotonic()
            assert process.wait(TIMEOUT) == 0
            return time.monotonic() - begun < GUNICORN_GIVES

    # On a busy machine not each time.
    assert any(is_stopped_before_requests_would_be_given_up() for _ in range(5))


def test_a_request_that_is_on_its_way_when_http_stops_is_answered(
    tmp_path: Path, listener: Listener
) -> None:
    """It has half a second, which on a busy machine may be over before."""
    assert any(is_answered_though_http_stops(tmp_path, listener) for _ in range(5))


def is_answered_though_http_stops(tmp_path: Path, listener: Listener) -> bool:
    with http(tmp_path, listener) as process:
        status = listener.hear_until("READY", "1")["STATUS"]
        client = HTTPConnection(status.removeprefix("on http://"), timeout=TIMEOUT)
        client.connect()
        wait_until(lambda: has_accepted(worker_of(process), client))
        process.terminate()
        # Less than a worker waits, enough for it to know.
        time.sleep(0.2)
        try:
            client.request("GET", "/healthz")
            return client.getresponse().status == 200
        except (ConnectionError, HTTPException):
            return False
        finally:
            assert process.wait(TIMEOUT) == 0
