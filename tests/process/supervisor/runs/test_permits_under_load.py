"""Runs come, end, and are cancelled in the queue while the budget changes under them."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from genvm_manager.protocol.calldata import encode
from tests.support.service import RunningService, run_request
from tests.support.supervisor import SHELL_MAJORS, manifest_text
from tests.support.waiting import TIMEOUT

CLIENTS = 10
RUNS_EACH = 25
FEWEST, MOST = 2, 7
CONFIG = f"{{http_workers: 2, http_threads: 128, permits: {{total: {MOST}}}, drain_timeout: 1s}}"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(manifest_text())
    with RunningService("--manifest-path", str(manifest), config=CONFIG, executor=None) as running:
        yield running


class Client(threading.Thread):
    """Starts one run after another; knows what it was told of each."""

    def __init__(self, service: RunningService, seed: int) -> None:
        super().__init__()
        self.http = httpx.Client(base_url=service.url, timeout=TIMEOUT)
        self.random = random.Random(seed)
        self.started: list[int] = []
        self.refusals: list[str] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for _ in range(RUNS_EACH):
                self.one_run()
        except BaseException as failure:
            self.failure = failure
        finally:
            self.http.close()

    def one_run(self) -> None:
        child = self.random.choice(["quick", "naps", "naps", "slow"])
        body = encode(run_request(major=SHELL_MAJORS[child][0]))
        reply = self.http.post("/genvm/run", content=body).json()
        if "error" in reply:
            self.refusals.append(reply["error"])
            return
        self.started.append(reply["id"])
        if child == "slow":
            self.end(reply["id"])

    def end(self, run_id: int) -> None:
        response = self.http.delete(f"/genvm/{run_id}", params={"wait_timeout_ms": 0})
        assert response.is_success, response.text


class Watcher:
    """Looks at `/status`, and in between changes the budget and cancels who waits.

    Nobody else changes the budget: so it knows what may be in use at each look.
    """

    def __init__(self, service: RunningService, seed: int) -> None:
        self.http = service.http
        self.random = random.Random(seed)
        self.looks = 0
        self.cancelled: set[int] = set()
        self.bound = 0
        self.total = MOST

    def watch(self) -> None:
        status = self.http.get("/status").json()
        permits = status["permits"]
        assert status["audit"] == "ok"
        assert permits["max"] == self.total
        assert permits["in_use"] <= max(self.total, self.bound), "more was leased than there is"
        self.bound = max(self.total, permits["in_use"])
        self.looks += 1
        if self.random.random() < 0.3:
            self.change_budget()
        if self.random.random() < 0.3:
            self.cancel_one(status["executions"])

    def change_budget(self) -> None:
        self.total = self.random.randint(FEWEST, MOST)
        assert self.http.post("/permits", json={"permits": self.total}).is_success

    def cancel_one(self, executions: dict[str, Any]) -> None:
        queued = [int(each) for each, shown in executions.items() if shown["state"] == "queued"]
        if queued:
            run_id = self.random.choice(queued)
            self.cancelled.add(run_id)
            answer = self.http.delete(f"/genvm/{run_id}", params={"wait_timeout_ms": 0})
            assert answer.is_success, answer.text


def test_many_clients_at_once_leave_the_budget_as_it_was(service: RunningService) -> None:
    clients = [Client(service, seed) for seed in range(CLIENTS)]
    watcher = Watcher(service, seed=CLIENTS)
    for client in clients:
        client.start()
    while any(client.is_alive() for client in clients):
        watcher.watch()
    for client in clients:
        client.join()
        assert client.failure is None, client.failure

    started = [run_id for client in clients for run_id in client.started]
    refusals = [text for client in clients for text in client.refusals]
    assert len(started) + len(refusals) == CLIENTS * RUNS_EACH
    assert len(set(started)) == len(started), "one id for two runs"
    assert all(text.endswith("was cancelled before it started") for text in refusals), refusals
    for run_id in started:
        run = service.client.get_run(run_id, wait=TIMEOUT).status
        assert run is not None, run_id
        assert run.cause in ("exited", "cancelled"), run
    assert watcher.cancelled and watcher.looks > RUNS_EACH
    status = service.http.get("/status").json()
    assert status["audit"] == "ok"
    permits = status["permits"]
    assert (permits["in_use"], permits["queued"]) == (0, 0)
    assert permits["current"] == permits["max"] == watcher.total
