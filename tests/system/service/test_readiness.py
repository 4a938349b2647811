"""What /readyz waits for, and what `serve` keeps in place so that it is found."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest

from genvm_manager.base.files.state_folder import service_file
from genvm_manager.manager.launcher.service_file import ServiceFile, find_service, find_service_file
from tests.support.service import RunningService
from tests.support.waiting import wait_until

NOTICED = 10.0
"""Seconds, on a busy machine; it takes half a second on a quiet one."""

SLOW_CHECK = """
import sys, time, pathlib
arguments = pathlib.Path("/proc/self/cmdline").read_bytes().split(b"\\0")
if b"genvm_manager.workers.genvm" in arguments and b"--precompile" in arguments:
    while not pathlib.Path({go!r}).exists():
        time.sleep(0.02)
    sys.exit({code})
"""
"""In place of the check of the built-in executor, one that takes its time."""


def slow_service(go: Path, code: int = 0) -> RunningService:
    python_path = go.with_name("python")
    python_path.mkdir()
    script = SLOW_CHECK.format(go=str(go), code=code).replace("sys.exit", "import os; os._exit")
    (python_path / "sitecustomize.py").write_text(script)
    # The check has the variables of executors, and no others.
    variables = {"PYTHONPATH": str(python_path), "GENVM_CACHE_DIR": str(go.with_name("cache"))}
    config = json.dumps({"http_workers": 1, "executor_env": variables})
    return RunningService(executor=None, config=config)


@pytest.fixture
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 1}") as running:
        yield running


def test_readiness_waits_for_the_executor_while_the_service_is_found(tmp_path: Path) -> None:
    go = tmp_path / "go"
    service = slow_service(go)
    try:
        # It returns once the service file is there.
        service.start()
        refused = service.http.get("/readyz")
        assert refused.status_code == 503
        said = refused.json()["error"]
        assert said.startswith("not ready yet: compiling the built-in executor, ")
        assert said.endswith(" s so far")
        assert service.http.get("/status").json()["accepting"] is True
        shown = service.genvm_manager("status", "--state-dir", str(service.state))
        assert "compiling the built-in executor" in shown.stdout
        assert shown.returncode == 1
        assert "being compiled; /readyz is 200 once it is" in service.log
        go.touch()
        wait_until(lambda: service.http.get("/readyz").is_success)
        assert service.stop() == 0
        service.assert_nothing_left()
    finally:
        service.discard()


def test_an_executor_that_is_not_whole_ends_the_service(tmp_path: Path) -> None:
    go = tmp_path / "go"
    service = slow_service(go, code=1)
    try:
        service.start()
        go.touch()
        assert service.wait(60) == 1
        assert "the built-in executor does not work: exit code 1; mend that" in service.log
        service.assert_nothing_left()
    finally:
        service.discard()


def test_an_executor_of_others_is_not_waited_for(service: RunningService) -> None:
    wait_until(lambda: service.http.get("/readyz").is_success, 2)


def test_whoever_is_ready_is_found(service: RunningService) -> None:
    wait_until(lambda: service.http.get("/readyz").is_success)
    assert find_service(service.state) == service.url


def unlink(path: Path) -> None:
    path.unlink()


def replace_by_a_file(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"{}")


def replace_by_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/at/all")


@pytest.mark.parametrize("vanish", [unlink, replace_by_a_file, replace_by_a_link])
def test_the_service_file_is_written_again(
    service: RunningService, vanish: Callable[[Path], None]
) -> None:
    before = find_service_file(service.state)
    vanish(service_file(service.state))
    wait_until(lambda: find_service_file(service.state) == before, NOTICED)
    said = "service.json was removed or replaced; it is written again"
    wait_until(lambda: said in service.log)
    assert not service_file(service.state).is_symlink()


def _refusal(service: RunningService) -> httpx.Response | None:
    answer = service.http.get("/readyz")
    return answer if answer.status_code == 503 else None


def test_a_service_file_that_cannot_be_written_is_said_by_readyz(service: RunningService) -> None:
    path = service_file(service.state)
    path.unlink()
    path.mkdir()
    (path / "something").touch()
    refused = wait_until(lambda: _refusal(service), NOTICED)
    said = refused.json()["error"]
    assert said.startswith(f"not ready yet: service.json in {service.state} cannot be written")
    shutil.rmtree(path)
    wait_until(lambda: service.http.get("/readyz").is_success, NOTICED)
    assert find_service(service.state) == service.url


def test_the_service_file_of_another_living_service_is_left_alone(service: RunningService) -> None:
    other = ServiceFile.of_this_process(service.state, ["http://127.0.0.1:9"], None, None)
    service_file(service.state).write_bytes(msgspec.json.encode(other))
    wait_until(lambda: service.http.get("/readyz").status_code == 503, NOTICED)
    assert "is the folder of another service now" in service.http.get("/readyz").json()["error"]
    assert find_service_file(service.state) == other
    service_file(service.state).unlink()
    wait_until(lambda: service.http.get("/readyz").is_success, NOTICED)


def test_a_state_folder_that_is_removed_is_whole_again(service: RunningService) -> None:
    known = service.start_run({"result": b"kept"})
    before = service.client.get_run(known, wait=30).status
    shutil.rmtree(service.state)
    wait_until(lambda: find_service(service.state) == service.url, NOTICED)
    wait_until(lambda: service.http.get("/readyz").is_success, NOTICED)
    run = service.client.get_run(service.start_run({}), wait=30).status
    assert run is not None and run.exit_code == 0
    service.half("supervisor").send_signal(signal.SIGKILL)
    wait_until(lambda: service.http.get("/status").status_code == 503)
    wait_until(lambda: service.http.get("/readyz").is_success)
    assert service.client.get_run(known).status == before
    service.half("supervisor")


def test_ids_go_on_when_folder_and_supervisor_go_at_once(service: RunningService) -> None:
    last = service.start_run({})
    supervisor = service.half("supervisor")
    supervisor.suspend()
    shutil.rmtree(service.state)
    supervisor.kill()
    wait_until(lambda: "run_outcomes_lost" in service.log)
    wait_until(lambda: find_service(service.state) == service.url, NOTICED)
    wait_until(lambda: service.http.get("/readyz").is_success)
    assert service.start_run({}) > last


# ------------------------------------------------------------------------------ HTTP's Unix socket


@pytest.fixture
def on_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    path = tmp_path_factory.mktemp("s") / "http.sock"
    with RunningService("--socket", str(path), config="{http_workers: 2}") as running:
        yield running


def socket_path(service: RunningService) -> Path:
    file = find_service_file(service.state)
    assert file is not None and file.socket is not None
    return Path(file.socket)


def replace_by_a_dead_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))


def answers(path: Path) -> bool:
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            return client.get("http://localhost/readyz").is_success
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("vanish", [unlink, replace_by_a_dead_socket])
def test_the_socket_of_http_is_made_again_and_who_waits_is_answered(
    on_socket: RunningService, vanish: Callable[[Path], None]
) -> None:
    path = socket_path(on_socket)
    order = {"sleep_ms": 3_000, "result": b"late"}
    genvm_id = on_socket.start_run(order)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(on_socket.client.get_run, genvm_id, wait=60)
        vanish(path)
        wait_until(lambda: answers(path), NOTICED)
        assert os.stat(path).st_mode & 0o777 == 0o600
        status = waiting.result(60).status
    assert status is not None and status.exit_code == 0
    # A later master of HTTP has the new one, too.
    on_socket.half("http").send_signal(signal.SIGKILL)
    wait_until(lambda: answers(path), 30)


def test_a_file_in_the_way_of_the_socket_is_said(on_socket: RunningService) -> None:
    path = socket_path(on_socket)
    path.unlink()
    path.write_bytes(b"mine")
    said = f"socket {path}: a file that is no socket is in the way; it was removed or replaced"
    wait_until(lambda: said in on_socket.log, NOTICED)
    assert path.read_bytes() == b"mine"
    path.unlink()
    wait_until(lambda: answers(path), NOTICED)
