"""`genvm-manager serve`: start, stay, stop, and what it says when it cannot."""

from __future__ import annotations

import signal
import socket
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from genvm_manager.manager.client.client import HttpClient
from genvm_manager.manager.launcher.errors import ServiceFailed
from genvm_manager.manager.launcher.private_service import private_service
from genvm_manager.manager.launcher.service_file import find_service
from genvm_manager.protocol import calldata
from tests.support.service import QUICKLY_GIVEN_UP, RunningService, processes_of, run_request
from tests.support.waiting import TIMEOUT, wait_until

MAX_WORKER_RSS = 60 << 20


@pytest.fixture
def service() -> Iterator[RunningService]:
    """It would let runs go on for longer than any test waits."""
    with RunningService(
        config="{http_workers: 1, http_threads: 8, drain_timeout: 600s}"
    ) as running:
        yield running


def failure(service: RunningService, *options: str) -> str:
    """Return the message with which `serve` fails with exit code 1 on the service's state folder.

    The later options win over those of the service itself.
    """
    log = service.folder / "failure"
    assert service.launch(log, *options).wait(TIMEOUT) == 1
    return log.read_text()


def test_start_says_where_it_is_and_processes_say_what_they_are(service: RunningService) -> None:
    for line in (service.url, f"curl {service.url}/status", f"curl {service.url}/permits"):
        assert line in service.log
    assert find_service(service.state) == service.url
    titles = {" ".join(process.cmdline()).strip() for process in processes_of(service.state)}
    for kind in ("serve", "shim", "supervisor", "http master", "http worker"):
        assert f"genvm-manager {kind} {service.state}" in titles


def test_http_workers_are_small(service: RunningService) -> None:
    for _ in range(200):
        assert service.http.get("/status").is_success
    for worker in service.half("http").children():
        assert worker.memory_info().rss < MAX_WORKER_RSS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_that_there_is(service: RunningService, number: signal.Signals) -> None:
    service.start_run({"exit": 1})
    with socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2]))):
        assert service.stop(number) == 0
    assert "does not stop" not in service.log
    service.assert_nothing_left()


def test_a_second_signal_does_not_wait_for_runs(service: RunningService) -> None:
    genvm_id = service.start_run({"sleep_ms": 600_000})
    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "supervisor_stopping" in service.log)
    assert service.process.is_running()
    assert service.stop(signal.SIGTERM) == 0
    service.assert_nothing_left()
    service.start()
    run = service.client.get_run(genvm_id).status
    assert run is not None
    assert run.cause == "shutdown"


def test_a_second_start_fails_and_names_the_holder(service: RunningService) -> None:
    message = failure(service)
    holder = service.half("supervisor").pid
    assert str(holder) in message
    assert str(service.state) in message
    assert len(message.splitlines()) == 1
    assert service.http.get("/readyz").is_success


def test_a_port_in_use_is_said(service: RunningService) -> None:
    port = service.url.rpartition(":")[2]
    other = str(service.folder / "other")
    message = failure(service, "--state-dir", other, "--port", port)
    assert f"port {port} on 127.0.0.1 is in use" in message
    assert "--port" in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("http_workers: none", "http_workers: expected int, got str"),
        ("[1, 2]", "config: expected a map"),
        ("{", "config: not YAML"),
        ("drain_timeout: soon", "drain_timeout: expected a duration"),
        ("bind_address: nowhere", "bind_address: expected HOST:PORT"),
        ("bind_address: localhost:99999", "bind_address: expected a port from 0 to 65535"),
    ],
)
def test_a_bad_configuration_is_said(config: str, message: str) -> None:
    service = RunningService(config=config)
    try:
        said = failure(service)
    finally:
        service.discard()
    assert message in said
    assert "Traceback" not in said


def test_serving_on_a_unix_socket() -> None:
    service = RunningService("--socket", "http.sock", config="{http_workers: 1, htp_threads: 5}")
    path = service.folder / "http.sock"
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    with service:
        assert service.url == f"unix:{path}"
        assert "htp_threads: no such setting" in service.log
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert service.client.is_ready()
        assert f"curl --unix-socket {path} http://localhost/status" in service.log
        other = ("--state-dir", str(service.folder / "other"))
        message = failure(service, *other)
        assert f"socket {path} is in use" in message
        assert path.exists()
        (service.folder / "file").touch()
        message = failure(service, *other, "--socket", "file")
        assert "a file that is no socket is in the way" in message
        with HttpClient(service.url) as newcomer:
            assert newcomer.is_ready()
    assert not path.exists()


def test_help_teaches(service: RunningService) -> None:
    for arguments in (["--help"], ["serve", "--help"]):
        said = service.genvm_manager(*arguments)
        assert said.returncode == 0
        assert "genvm-manager serve" in said.stdout
        assert "Exit codes" in said.stdout
    assert service.genvm_manager("--version").stdout.startswith("genvm-manager, version ")
    assert service.genvm_manager("no-such-command").returncode == 2


def test_a_private_service_is_found_and_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("s")
    with private_service(folder) as service, HttpClient(service.address) as client:
        assert client.status().executions == {}
        assert find_service(folder) == service.address
        with pytest.raises(ServiceFailed, match=str(folder)), private_service(folder):
            pass
        assert client.is_ready()
    assert find_service(folder) is None
    assert not [p for p in processes_of(folder) if p.pid != psutil.Process().pid]


def test_a_signal_while_the_guest_is_compiled_stops_all() -> None:
    service = RunningService(executor=None)
    try:
        log = service.folder / "log"
        process = service.launch(log)
        wait_until(lambda: "compiling" in log.read_text())
        process.terminate()
        assert process.wait(TIMEOUT) == 0
        wait_until(lambda: not processes_of(service.folder))
    finally:
        service.discard()


def test_a_half_that_keeps_dying_is_given_up() -> None:
    with RunningService(config="{http_workers: 1}", customize=QUICKLY_GIVEN_UP) as service:
        database = service.state / "runs.db"
        service.half("supervisor").send_signal(signal.SIGKILL)
        for path in service.state.glob("runs.db*"):
            path.unlink()
        database.mkdir()
        assert service.wait(TIMEOUT) == 1
        assert "it has died too often, giving up" in service.log
        assert not processes_of(service.folder)
        database.rmdir()
        service.start()


@pytest.mark.parametrize("whom", ["serve", "supervisor"])
def test_a_planned_stop_lets_runs_finish_and_tells_their_clients(whom: str) -> None:
    with RunningService(
        config="{http_workers: 1, http_threads: 32, drain_timeout: 60s}"
    ) as service:
        genvm_id = service.start_run({"sleep_ms": 3_000, "result": b"late", "exit": 3})
        supervisor = service.half("supervisor")
        target = service.process if whom == "serve" else supervisor
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(service.client.get_run, genvm_id, wait=60)
            target.send_signal(signal.SIGTERM)
            wait_until(lambda: service.http.get("/readyz").status_code == 503)
            body = calldata.encode(run_request())
            refused = service.http.post("/genvm/run", content=body)
            assert refused.status_code == 503
            assert refused.json() == {"error": "the supervisor is shutting down"}
            assert int(refused.headers["Retry-After"]) >= 1
            assert service.http.get("/status").json()["executions"][str(genvm_id)]
            run = waiting.result(TIMEOUT).status
        assert run is not None
        assert (run.cause, run.exit_code, run.consumed_result) == ("exited", 3, b"late")
        if whom == "serve":
            assert service.wait(TIMEOUT) == 0
            service.assert_nothing_left()
            service.start()
        else:
            wait_until(lambda: service.half("supervisor") != supervisor)
            wait_until(lambda: service.http.get("/readyz").is_success)
        assert service.client.get_run(genvm_id).status == run


def test_a_run_that_outlasts_the_drain_is_ended_by_the_stop_sequence() -> None:
    with RunningService(config="{http_workers: 1, http_threads: 32, drain_timeout: 1s}") as service:
        genvm_id = service.start_run({"sleep_ms": 600_000})
        begin = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        run = service.client.get_run(genvm_id, wait=TIMEOUT).status
        assert run is not None
        assert (run.cause, run.signal) == ("shutdown", signal.SIGTERM)
        assert time.monotonic() - begin >= 1
        assert service.wait(TIMEOUT) == 0
