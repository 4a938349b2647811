"""What dies, what it costs, what brings it back: a table of docs/operations/failure-modes.md.

In each row the same service is hit. It has a finished run, one under way that hides a daemon, one
whose result has arrived, one that waits for permits, and a client that waits for an end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import pytest

from genvm_manager.base.files.state_folder import run_scratch, run_store, supervisor_socket
from genvm_manager.manager.launcher.service_file import find_service
from genvm_manager.protocol import calldata
from tests.conftest import PROJECT
from tests.support.service import RunningService, processes_of, run_request
from tests.support.supervisor import has_ended
from tests.support.waiting import TIMEOUT, wait_until

CONFIG = "{http_workers: 1, http_threads: 16, permits: {total: 2}, drain_timeout: 1s}"
POWER_CONFIG = "{http_workers: 1, http_threads: 32, permits: {total: 8}, drain_timeout: 1s}"
FOR_EVER = 600_000
PARTS = ("serve", "shim", "supervisor", "http", "worker")


class Client(threading.Thread):
    """One request; `response` is its answer, or None when the connection was cut."""

    def __init__(self, method: str, url: str, **sent: Any) -> None:
        super().__init__()
        self._request = (method, url, sent)
        self.response: httpx.Response | None = None
        self.start()

    def run(self) -> None:
        method, url, sent = self._request
        try:
            self.response = httpx.request(method, url, timeout=TIMEOUT, trust_env=False, **sent)
        except httpx.TransportError:
            self.response = None

    def seen(self) -> str:
        """`cut`, `503`, `started`, or the cause of the run that it was told of."""
        self.join(TIMEOUT)
        assert not self.is_alive()
        if self.response is None:
            return "cut"
        if self.response.status_code == 503:
            assert int(self.response.headers["Retry-After"]) >= 1
            return "503"
        assert self.response.status_code == 200, self.response.text
        reply = self.response.json()
        return "started" if "result" in reply else str(reply["status"]["cause"])


class Work:
    """A service in the middle of its work."""

    def __init__(self, service: RunningService) -> None:
        self.service = service
        self.finished = service.start_run({"print": "done", "result": b"result", "exit": 3})
        self.finished_reply = self.read(self.finished, "?wait=30s")
        self.arrived = service.start_run({"result": b"arrived", "stay_ms": FOR_EVER})
        wait_until(lambda: list(run_scratch(service.state).glob("*/answered")))
        self.under_way = service.start_run({"hide": True, "sleep_ms": FOR_EVER})
        self.family: list[psutil.Process] = wait_until(self._family)
        self.reader = Client("GET", f"{service.url}/genvm/{self.under_way}?wait=60s")
        self.starter = self.start_queued()
        wait_until(lambda: self.service.client.permits().queued == 1)
        wait_until(lambda: len(self.executors()) == 5)
        self.parts = {name: self.part(name) for name in PARTS}

    def part(self, name: str) -> psutil.Process:
        """One of `PARTS` as it is now."""
        if name == "serve":
            return self.service.process
        if name == "worker":
            return wait_until(lambda: self.service.half("http").children())[0]
        return self.service.half(name)

    def start_queued(self) -> Client:
        """Ask for the run that has to wait; asking once more asks for the same one."""
        body = calldata.encode(run_request({"exit": 4}, host_genvm_id="queued"))
        return Client("POST", f"{self.service.url}/genvm/run", content=body)

    def read(self, genvm_id: int, query: str = "") -> dict[str, Any]:
        reply = httpx.get(f"{self.service.url}/genvm/{genvm_id}{query}", timeout=TIMEOUT)
        assert reply.status_code == 200, reply.text
        read: dict[str, Any] = reply.json()
        return read

    def executors(self) -> list[psutil.Process]:
        """Every living process with a run's token, or known to descend from one."""
        left = [process for process in self.family if not has_ended(process)]
        for process in psutil.process_iter():
            try:
                environment = process.environ()
            except psutil.Error:
                continue
            is_ours = str(self.service.state) in environment.get("TMPDIR", "")
            if is_ours and "GENVM_RUN_TOKEN" in environment and process not in left:
                left.append(process)
        return [process for process in left if not has_ended(process)]

    def _family(self) -> list[psutil.Process] | None:
        pid = self.service.client.status().executions[str(self.under_way)].pid
        assert pid is not None
        executor = psutil.Process(pid)
        found = [executor, *executor.children(recursive=True)]
        return found if len(found) == 4 and not found[-1].environ() else None


def kill(*names: str) -> Callable[[Work], None]:
    """Kill parts as good as at once: none of them can act on the end of another one."""

    def strike(work: Work) -> None:
        for name in names:
            work.parts[name].suspend()
        for name in names:
            work.parts[name].kill()

    return strike


def kill_executor(work: Work) -> None:
    work.family[0].kill()


def kill_group(work: Work) -> None:
    os.killpg(work.family[0].pid, signal.SIGKILL)


@dataclass(frozen=True)
class Row:
    """`dies` stands in the guide's table. `reader` waits for the run under way, `starter` for
    permits: what each may see. `replaced`: which parts are other processes afterwards. The causes
    are those with which the runs end; None: it goes on. `queued`: the run that waited, asked for
    again.
    """

    dies: str
    strike: Callable[[Work], None]
    reader: tuple[str, ...]
    starter: tuple[str, ...]
    replaced: tuple[str, ...] = ()
    under_way: str | None = None
    arrived: str | None = None
    queued: str = "exited"


ROWS = (
    Row("a run's process", kill_executor, ("exited",), ("started",), under_way="exited"),
    Row("its whole process group", kill_group, ("exited",), ("started",), under_way="exited"),
    Row("an HTTP worker", kill("worker"), ("cut",), ("cut",), ("worker",)),
    Row("the HTTP master", kill("http"), ("cut",), ("cut",), ("http", "worker")),
    Row(
        "the supervisor", kill("supervisor"), ("503", "lost"), ("503",), ("shim", "supervisor"),
        "lost", "exited", "lost",
    ),
    Row(
        "its shim", kill("shim"), ("503", "shutdown"), ("503",), ("shim", "supervisor"),
        "shutdown", "shutdown",
    ),
    Row(
        "supervisor and shim", kill("supervisor", "shim"), ("503", "lost"), ("503",),
        ("shim", "supervisor"), "lost", "exited", "lost",
    ),
    Row(
        "supervisor, shim and HTTP master", kill("supervisor", "shim", "http"),
        ("503", "cut", "lost"), ("503", "cut"), ("shim", "supervisor", "http", "worker"),
        "lost", "exited", "lost",
    ),
    Row(
        "`genvm-manager serve`", kill("serve"), ("503", "shutdown", "cut"), ("503", "cut"), PARTS,
        "shutdown", "shutdown",
    ),
)  # fmt: skip


def test_the_guide_has_these_rows() -> None:
    guide = (PROJECT / "docs/operations/failure-modes.md").read_text()
    table = guide.partition("| what dies | ")[2].partition("\n\n")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[2:]]
    assert rows == [*(row.dies for row in ROWS), "the machine, by its power"]


def _is_ready(service: RunningService) -> bool:
    """Return whether the service is ready; what was killed may cut the request off."""
    try:
        return service.http.get("/readyz", timeout=TIMEOUT).is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.dies)
def test_what_is_killed_costs_no_more_than_the_table_says(row: Row) -> None:
    with RunningService(config=CONFIG) as service:
        work = Work(service)
        row.strike(work)
        assert work.reader.seen() in row.reader
        assert work.starter.seen() in row.starter
        if "serve" in row.replaced:
            wait_until(lambda: not processes_of(service.folder))
            assert service.wait(TIMEOUT) == -signal.SIGKILL
            assert find_service(service.state) is None
            assert not supervisor_socket(service.state).exists()
            assert not list(run_scratch(service.state).iterdir())
            service.start()
        wait_until(lambda: _is_ready(service))
        assert find_service(service.state) == service.url
        assert {name for name in PARTS if work.part(name) != work.parts[name]} == {*row.replaced}
        if "serve" not in row.replaced and {"shim", "http"} & {*row.replaced}:
            assert "was ended by SIGKILL; starting it again in 0.2 s" in service.log
        assert work.read(work.finished) == work.finished_reply
        assert_end(work, work.under_way, row.under_way)
        assert_end(work, work.arrived, row.arrived, result=list(b"arrived"))
        assert_queued(work, row)
        wait_until(lambda: not work.executors())


def assert_end(
    work: Work, genvm_id: int, cause: str | None, result: list[int] | None = None
) -> None:
    """That the run has ended so and nothing of it lives, or else that it goes on; then it is
    ended, and keeps what had arrived of its result."""
    if cause is None:
        assert work.read(genvm_id)["status"] is None
        work.service.client.cancel(genvm_id, grace_ms=0)
    status = work.read(genvm_id, "?wait=2m")["status"]
    assert (status["cause"], status["consumed_result"]) == (cause or "cancelled", result)
    assert work.read(genvm_id)["status"] == status
    if genvm_id == work.under_way:
        wait_until(lambda: all(has_ended(process) for process in work.family))


def assert_queued(work: Work, row: Row) -> None:
    again = work.start_queued()
    again.join(TIMEOUT)
    assert again.response is not None and again.response.status_code == 200, again.response
    genvm_id = again.response.json()["id"]
    assert genvm_id > work.under_way
    status = work.read(genvm_id, "?wait=30s")["status"]
    assert status["cause"] == row.queued
    assert work.service.start_run() > genvm_id


class Load(threading.Thread):
    """Starts runs and reads their ends; keeps what it was told."""

    def __init__(self, service: RunningService, number: int) -> None:
        super().__init__()
        self._http = httpx.Client(base_url=service.url, timeout=TIMEOUT, trust_env=False)
        self._orders = {"print": "x" * 300_000 * number, "result": bytes(100_000 * number)}
        self._is_over = threading.Event()
        self.started: list[int] = []
        self.ended: dict[int, dict[str, Any]] = {}

    def run(self) -> None:
        while not self._is_over.is_set():
            body = calldata.encode(run_request(self._orders))
            genvm_id = self._http.post("/genvm/run", content=body).json()["id"]
            self.started.append(genvm_id)
            self.ended[genvm_id] = self._http.get(f"/genvm/{genvm_id}?wait=60s").json()["status"]

    def stop(self) -> None:
        self._is_over.set()
        self.join(TIMEOUT)
        self._http.close()


@dataclass
class Snapshot:
    """A state folder as it was at one moment, and what clients had been told by then."""

    copy: RunningService
    started: list[int]
    ended: dict[int, dict[str, Any]]


def snapshot(service: RunningService, loads: list[Load]) -> Snapshot:
    """What a disk would hold if the machine had lost its power now.

    The supervisor is held while the folder is copied, so that all files are of one moment. What was
    told before is on the disk; a write that was under way is there in part.
    """
    supervisor = service.half("supervisor")
    before = sum(len(load.ended) for load in loads)
    wait_until(lambda: sum(len(load.ended) for load in loads) >= before + 12)
    copy = RunningService(config=POWER_CONFIG)
    supervisor.suspend()
    try:
        wait_until(lambda: supervisor.status() == psutil.STATUS_STOPPED)
        started = [genvm_id for load in loads for genvm_id in tuple(load.started)]
        ended = {genvm_id: end for load in loads for genvm_id, end in tuple(load.ended.items())}
        subprocess.run(["cp", "-a", service.state, copy.state], check=True)
    finally:
        supervisor.resume()
    with run_store(copy.state).with_suffix(".db-wal").open("ab") as log:
        log.write(os.urandom(5_000))
    return Snapshot(copy, started, ended)


def test_after_a_power_loss_everything_that_was_told_is_there() -> None:
    snapshots: list[Snapshot] = []
    with RunningService(config=POWER_CONFIG) as service, ExitStack() as stack:
        under_way = service.start_run({"hide": True, "sleep_ms": FOR_EVER})
        loads = [Load(service, number) for number in range(4)]
        for load in loads:
            load.start()
            stack.callback(load.stop)
        for _ in range(3):
            snapshots.append(snapshot(service, loads))
            stack.callback(snapshots[-1].copy.discard)
        for load in loads:
            load.stop()
            assert {end["cause"] for end in load.ended.values()} == {"exited"}
        for each in snapshots:
            assert_all_is_there(each, under_way)
        # The copies took nothing of it for their own.
        assert service.client.get_run(under_way).status is None
        service.client.cancel(under_way, grace_ms=0)


def assert_all_is_there(snapshot: Snapshot, under_way: int) -> None:
    copy, known = snapshot.copy, snapshot.ended
    copy.start()
    for genvm_id in [under_way, *snapshot.started]:
        status = copy.http.get(f"/genvm/{genvm_id}").json()["status"]
        assert status == known.get(genvm_id, status)
        assert status["cause"] == "lost" or status["consumed_result"] is not None
    assert copy.http.get(f"/genvm/{under_way}").json()["status"]["cause"] == "lost"
    assert copy.start_run({"exit": 1}) > max(snapshot.started)
    assert copy.http.get("/status").json()["audit"] == "ok"
    assert copy.stop() == 0
    copy.assert_nothing_left()
