"""A machine that has no process or thread to spare for a while: nothing ends, and all heals."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from genvm_manager.protocol import calldata
from genvm_manager.protocol.ipc.modules import ModuleKind
from tests.support.exhaustion import (
    as_common_user,
    nothing_new,
    takes_another_user,
)
from tests.support.module_runs import LIGHT, LLM
from tests.support.service import GENVM_MANAGER, RunningService, run_request
from tests.support.waiting import wait_until

pytestmark = takes_another_user

CONFIG = "{http_workers: 1, http_threads: 64, permits: {total: 8}, drain_timeout: 1s}"
NO_PROCESS = "Resource temporarily unavailable"
NO_THREAD = "the system has no thread to spare"
PATIENT, LATE = 8, 20


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    service = RunningService(config=CONFIG)
    try:
        service.start(before=as_common_user)
        yield service
        assert service.stop() == 0, service.log
        assert "Traceback" not in service.log, service.log
        assert "audit_violation" not in service.log, service.log
        service.assert_nothing_left()
    finally:
        service.discard()


def ask(service: RunningService, method: str, path: str, **how: Any) -> httpx.Response:
    """On a connection of its own."""
    return httpx.request(method, f"{service.url}{path}", timeout=30, **how)


def says_try_again(response: httpx.Response, text: str) -> bool:
    assert response.status_code == 503, response.text
    assert int(response.headers["Retry-After"]) > 0
    return text in response.json()["error"]


def worker_of(service: RunningService) -> psutil.Process:
    def found() -> list[psutil.Process]:
        return service.half("http").children()

    (worker,) = wait_until(found)
    assert isinstance(worker, psutil.Process)
    return worker


def workers(service: RunningService) -> list[dict[str, Any]]:
    found = service.http.get("/status").json()["modules"]["llm"]["workers"]
    assert isinstance(found, list)
    return found


def runs_again(service: RunningService) -> None:
    wait_until(lambda: ask(service, "GET", "/readyz").is_success)
    status = service.client.get_run(service.start_run({"exit": 0}), wait=20).status
    assert status is not None and status.exit_code == 0
    assert service.client.status().permits.in_use == 0


# ------------------------------------------------------------------------------------- processes


@pytest.mark.parametrize("half", ["supervisor", "http"])
def test_a_half_that_cannot_be_started_again_is_tried_until_it_can(
    service: RunningService, half: str
) -> None:
    other = service.half("shim" if half == "http" else "http")
    before = service.log.count(f"cannot be started: {NO_PROCESS}")
    with nothing_new(service.process):
        service.half("shim" if half == "supervisor" else half).kill()
        wait_until(lambda: service.log.count(f"cannot be started: {NO_PROCESS}") > before + 2)
        assert other.is_running()
        if half == "supervisor":
            assert ask(service, "GET", "/status").status_code == 503
    runs_again(service)
    assert other.is_running()


def test_a_run_whose_executor_cannot_be_started_may_be_asked_for_again(
    service: RunningService,
) -> None:
    body = calldata.encode(run_request({"exit": 7}, host_genvm_id="the-same"))
    seen = set(service.client.status().executions)
    with nothing_new(service.half("supervisor")):
        for _ in range(3):
            refused = ask(service, "POST", "/genvm/run", content=body)
            assert says_try_again(refused, NO_PROCESS)
        assert service.client.status().permits.in_use == 0
        assert set(service.client.status().executions) == seen
    run_id = ask(service, "POST", "/genvm/run", content=body).json()["id"]
    status = service.client.get_run(run_id, wait=20).status
    assert status is not None and status.exit_code == 7


def test_a_module_whose_workers_cannot_be_started_is_not_given_up(
    service: RunningService,
) -> None:
    body = {"module_type": LLM, "config": LIGHT[LLM]}
    supervisor = service.half("supervisor")
    with nothing_new(supervisor):
        refused = ask(service, "POST", "/module/start", json=body)
        assert says_try_again(refused, NO_PROCESS)
        shown = service.client.status().modules[ModuleKind.LLM]
        assert (shown.state, NO_PROCESS in (shown.reason or "")) == ("stopped", True)
        check = {"host": "http://127.0.0.1:9", "provider": "ollama", "model": "m", "key": ""}
        prompt = {"system_message": None, "user_message": "a", "temperature": 0, "max_tokens": 1}
        asked = {"configs": [check], "test_prompts": [prompt]}
        assert says_try_again(ask(service, "POST", "/llm/check", json=asked), NO_PROCESS)
    assert ask(service, "POST", "/module/start", json=body).json() == {"result": "module_started"}
    with nothing_new(supervisor):
        psutil.Process(workers(service)[0]["pid"]).kill()
        wait_until(
            lambda: service.log.count("worker_not_started module=llm reason='no process") > 3
        )
        assert service.client.status().llm_module == "running"
    wait_until(lambda: workers(service)[0]["pid"])
    assert ask(service, "POST", "/module/stop", json={"module_type": LLM}).is_success


def test_an_http_worker_that_cannot_be_forked_is_forked_later(service: RunningService) -> None:
    master = service.half("http")
    with nothing_new(master):
        worker_of(service).kill()
        wait_until(lambda: service.log.count(f"worker_not_started reason='{NO_PROCESS}'") > 1)
        assert master.is_running()
    runs_again(service)
    assert service.half("http") == master


# --------------------------------------------------------------------------------------- threads


def test_a_request_without_a_thread_is_told_to_come_again_and_no_other_suffers(
    service: RunningService,
) -> None:
    # A new one has no thread but its own.
    before = worker_of(service)
    before.kill()
    before.wait(20)
    wait_until(lambda: ask(service, "GET", "/readyz").is_success)
    worker = worker_of(service)
    run_id = service.start_run({"sleep_ms": 60_000})
    waited = f"/genvm/{run_id}?wait=60s"
    with ThreadPoolExecutor(PATIENT + LATE) as clients:
        patient = [clients.submit(ask, service, "GET", waited) for _ in range(PATIENT)]
        wait_until(lambda: worker.num_threads() > PATIENT)
        with nothing_new(worker):
            late = [clients.submit(ask, service, "GET", waited) for _ in range(LATE)]
            # Those that found a thread idle wait; all others know at once.
            wait_until(lambda: sum(each.done() for each in late) > LATE // 2)
            assert not any(each.done() for each in patient)
            assert says_try_again(ask(service, "GET", "/events"), NO_THREAD)
            assert worker.is_running()
        assert ask(service, "GET", "/status").is_success
        assert ask(service, "DELETE", f"/genvm/{run_id}?wait_timeout_ms=0").is_success
        answers = [each.result(30) for each in (*patient, *late)]
    served = [answer.json()["status"]["cause"] for answer in answers if answer.is_success]
    assert served == ["cancelled"] * len(served)
    assert all(answer.is_success for answer in answers[:PATIENT])
    assert all(says_try_again(each, NO_THREAD) for each in answers if not each.is_success)
    assert worker_of(service) == worker
    runs_again(service)


def test_subscribers_without_a_thread_that_watches_are_told_to_try_again(
    service: RunningService,
) -> None:
    worker = worker_of(service)
    # Requests leave threads that are idle, and the one that watches for them ends with the last.
    assert all(ask(service, "GET", "/permits").is_success for _ in range(3))
    with nothing_new(worker):
        assert says_try_again(ask(service, "GET", "/events"), NO_THREAD)
    with httpx.stream("GET", f"{service.url}/events", timeout=30) as stream:
        assert next(stream.iter_lines()) == "event: status"


# ---------------------------------------------------------------------------------------- commands


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Where every user may read; pytest's own are for one alone."""
    with tempfile.TemporaryDirectory(prefix="genvm-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def command_alone(service: RunningService, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that may start neither a thread nor a process."""
    alone = [*as_common_user, "prlimit", "--nproc=1:"]
    return subprocess.run(
        [*alone, GENVM_MANAGER, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**service.environment, "OPENBLAS_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize(
    "arguments",
    ["kill {run}", "logs {run} -f", "wait {run}", "module stop llm", "llm check --json", "status"],
)
def test_a_command_without_a_thread_does_its_work_and_shows_no_progress(
    service: RunningService, arguments: str
) -> None:
    run_id = service.start_run({"exit": 0})
    assert service.client.get_run(run_id, wait=20).status is not None
    typed = arguments.format(run=run_id).split()
    ended = command_alone(service, *typed, "--url", service.url)
    assert ended.returncode in (0, 1, 3), ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    assert typed[0] != "llm" or '"backend"' in ended.stdout


def test_a_command_that_needs_a_thread_or_a_process_says_to_try_again(
    service: RunningService, open_folder: Path
) -> None:
    contract = open_folder / "contract.py"
    contract.write_text('# { "Depends": "py-genlayer:test" }\n')
    typed = ["run", str(contract), "--url", service.url, "--state-dir", str(open_folder / "state")]
    for arguments, reason in (
        (typed, "the system has no thread to spare"),
        (["completion", "bash"], NO_PROCESS),
    ):
        ended = command_alone(service, *arguments)
        said = f"Error: this command cannot continue: {reason}; try again\n"
        assert (ended.returncode, ended.stderr) == (75, said)
