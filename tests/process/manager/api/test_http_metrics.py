"""`GET /metrics` is what docs/operations/metrics-and-alerts.md says, and the figures are true."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from genvm_manager.protocol import __version__
from genvm_manager.protocol.calldata import encode
from genvm_manager.protocol.ipc.commands import ReadMetrics
from genvm_manager.protocol.ipc.replies import MetricsText
from tests.conftest import PROJECT
from tests.support.service import RunningService, run_request
from tests.support.supervisor import SHELL_MAJORS, RunningSupervisor, manifest_text
from tests.support.waiting import TIMEOUT, wait_until

GUIDE = (PROJECT / "docs/operations/metrics-and-alerts.md").read_text()
_ROW = re.compile(r"^\| `(genvm_\w+)` \| (\w+) \| ([^|]*) ?\| (.*) \|$", re.MULTILINE)
_MENTION = re.compile(r"\bgenvm_\w+")
_SUFFIX = re.compile(r"_(bucket|count|sum)$")

NO_EXECUTOR_THERE = 4
CONFIG = "{http_workers: 2, http_threads: 32, permits: {total: 2}, max_queued: 1}"

Read = Callable[..., float]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    manifest = tmp_path_factory.mktemp("metrics") / "manifest.yaml"
    manifest.write_text(manifest_text())
    with RunningService("--manifest-path", str(manifest), config=CONFIG, executor=None) as running:
        yield running


def families(text: str) -> dict[str, Metric]:
    """By the name that the guide uses."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in text_string_to_metric_families(text)
    }


def figures(text: str) -> Read:
    """A look-up in one reading, as in `at("genvm_runs", state="running")`; it must be there."""
    found = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families(text).values()
        for sample in family.samples
    }
    return lambda name, **labels: found[name, frozenset(labels.items())]


def read(service: RunningService) -> Read:
    return figures(service.http.get("/metrics").text)


def growth_of(before: Read, after: Read) -> Read:
    return lambda name, **labels: after(name, **labels) - before(name, **labels)


def start(service: RunningService, child: str | int) -> httpx.Response:
    major = SHELL_MAJORS[child][0] if isinstance(child, str) else child
    body = encode(run_request(major=major))
    return httpx.post(f"{service.url}/genvm/run", content=body, timeout=TIMEOUT)


def test_the_guide_lists_what_is_served_and_nothing_else(service: RunningService) -> None:
    answer = service.http.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    rows = {name: (kind, labels, text) for name, kind, labels, text in _ROW.findall(GUIDE)}
    served = families(answer.text)
    assert set(served) == set(rows)
    for name, family in served.items():
        kind, labels, text = rows[name]
        assert (family.type, family.documentation) == (kind, text), name
        own = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert own == set(re.findall(r"`(\w+)`", labels)), name
    for mentioned in _MENTION.findall(GUIDE):
        assert _SUFFIX.sub("", mentioned) in rows, mentioned


def test_runs_are_counted_and_timed(service: RunningService) -> None:
    before = read(service)
    assert before("genvm_build_info", version=__version__, python=_python()) == 1
    naps = [start(service, "naps").json()["id"] for _ in range(3)]
    for run_id in naps:
        assert service.client.get_run(run_id, wait=TIMEOUT).status is not None
    slow = start(service, "slow").json()["id"]
    since = time.monotonic()
    during = read(service)
    assert during("genvm_runs", state="running") == during("genvm_permits_in_use") == 1
    assert during("genvm_permits_limit") == 2
    wait_until(lambda: read(service)("genvm_executors_resident_memory_bytes") > 0)
    ran = time.monotonic() - since
    service.client.cancel(slow, grace_ms=0)
    after = read(service)
    growth = growth_of(before, after)
    assert growth("genvm_runs_finished_total", cause="exited") == 3
    assert growth("genvm_runs_finished_total", cause="cancelled") == 1
    for name in ("queue", "start", "duration"):
        assert growth(f"genvm_run_{name}_seconds_count") == 4
    assert growth("genvm_run_duration_seconds_sum") >= ran
    assert growth("genvm_run_start_seconds_sum") > 0
    assert after("genvm_runs", state="running") == after("genvm_permits_in_use") == 0
    assert after("genvm_audit_violations") == 0
    assert after("genvm_accepting") == 1
    for module in ("llm", "web"):
        assert after("genvm_module_state", module=module, state="stopped") == 1
        assert after("genvm_module_state", module=module, state="running") == 0


def _python() -> str:
    return ".".join(str(number) for number in sys.version_info[:3])


def test_waiting_and_refusals_are_counted(service: RunningService) -> None:
    before = read(service)
    slow = [start(service, "slow").json()["id"] for _ in range(2)]
    queued = threading.Thread(target=start, args=(service, "quick"))
    queued.start()
    wait_until(lambda: read(service)("genvm_permits_queued_runs") == 1)
    since = time.monotonic()
    assert read(service)("genvm_runs", state="queued") == 1
    assert start(service, "quick").status_code == 503
    needing_modules = run_request(
        major=1, is_sync=False, host_data='{"node_address":"","tx_id":""}'
    )
    refused = service.http.post("/genvm/run", content=encode(needing_modules))
    assert refused.status_code == 500, refused.text
    waited = time.monotonic() - since
    service.client.cancel(slow[0], grace_ms=0)
    queued.join()
    service.client.cancel(slow[1], grace_ms=0)
    assert start(service, NO_EXECUTOR_THERE).status_code == 500
    wait_until(lambda: read(service)("genvm_permits_in_use") == 0)
    after = read(service)
    growth = growth_of(before, after)
    assert growth("genvm_runs_refused_total", reason="queue_full") == 1
    assert growth("genvm_runs_refused_total", reason="modules") == 1
    assert growth("genvm_runs_refused_total", reason="other") == 0
    assert growth("genvm_run_start_failures_total") == 1
    assert growth("genvm_run_queue_seconds_count") == 3
    assert growth("genvm_run_queue_seconds_sum") >= waited


def test_runs_that_come_too_quickly_are_refused_and_counted() -> None:
    with RunningService(config="{http_workers: 1, max_runs_per_second: 2}") as hurried:
        refused: list[httpx.Response] = []
        with ThreadPoolExecutor(8) as clients:
            while not refused:
                started = list(clients.map(lambda _: start(hurried, 0), range(8)))
                refused = [reply for reply in started if not reply.is_success]
        for reply in refused:
            assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")
            assert reply.json()["error"].startswith("runs come faster than 2 a second; ")
        assert read(hurried)("genvm_runs_refused_total", reason="pace") == len(refused)
        wait_until(lambda: start(hurried, 0).is_success)


def test_processes_are_told_by_role(service: RunningService) -> None:
    at = read(service)
    master = service.half("http master")
    assert at("genvm_http_processes", role="master") == 1
    assert at("genvm_http_processes", role="worker") == len(master.children()) == 2
    supervisor = service.half("supervisor")
    for size, processes in (
        (at("genvm_http_resident_memory_bytes", role="master"), [master]),
        (at("genvm_http_resident_memory_bytes", role="worker"), master.children()),
        (at("genvm_supervisor_process_resident_memory_bytes"), [supervisor]),
    ):
        now = sum(process.memory_info().rss for process in processes)
        assert size == pytest.approx(now, rel=0.2)
    assert at("genvm_supervisor_process_open_fds") == pytest.approx(supervisor.num_fds(), abs=5)
    assert at("genvm_supervisor_process_start_time_seconds") == pytest.approx(
        supervisor.create_time(), abs=1
    )


def of(supervisor: RunningSupervisor) -> Read:
    reply = supervisor.client.ask(ReadMetrics())
    assert isinstance(reply, MetricsText)
    return figures(reply.text.decode())


def test_a_new_supervisor_counts_what_it_found_lost() -> None:
    with RunningSupervisor() as supervisor:
        for _ in range(2):
            supervisor.client.start("slow")
        supervisor.client.run("quick")
        assert of(supervisor)("genvm_runs_finished_total", cause="lost") == 0
        supervisor.kill()
        supervisor.start()
        assert of(supervisor)("genvm_runs_finished_total", cause="lost") == 2
        assert of(supervisor)("genvm_runs_finished_total", cause="exited") == 0


def test_dropped_output_is_counted() -> None:
    with RunningSupervisor() as supervisor:
        runs = [supervisor.client.run(each) for each in ("floods_stdout", "floods_log")]
        at = of(supervisor)
        stdout = sum(run.stdout_dropped for run in runs)
        stderr = sum(run.stderr_dropped for run in runs)
        records = sum(run.log_dropped for run in runs)
        assert stdout != stderr and stderr > 0 and records > 0
        assert at("genvm_run_output_dropped_bytes_total", stream="stdout") == stdout
        assert at("genvm_run_output_dropped_bytes_total", stream="stderr") == stderr
        assert at("genvm_run_log_records_dropped_total") == records


def test_metrics_of_the_process_that_starts_the_service_stay_its_own(tmp_path: Path) -> None:
    with RunningSupervisor(starts=False) as supervisor:
        supervisor.start(env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
        assert supervisor.client.run("quick").exit.code == 0
        assert not list(tmp_path.iterdir())
        psutil.Process(supervisor.process.pid).terminate()
        assert supervisor.process.wait(TIMEOUT) == 0
