"""Prompts through the LLM module, beside asking the same provider oneself.

Both are asked by runs of one executor, which does nothing else: through the connection that it was
started with, or on a connection of its own, kept, with hardly any code between it and the socket.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx

from benchmarks.figures import Figure
from benchmarks.http_load import Load
from benchmarks.runs import REQUEST
from benchmarks.servers import Service, free_port, is_listening, peer, service, wait_until
from protocol import calldata

EXECUTOR = (sys.executable, "-m", "benchmarks.peers.prompting_executor")
SECONDS = 3.0
START = 2.0
"""Seconds in which all clients must have started."""

CROWD = 8
HOST_DATA = '{"node_address": "0x01", "tx_id": "0x02"}'


class Asking:
    """Has runs of the service prompt; `provider` is a port."""

    def __init__(self, ours: Service, provider: int) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{ours.port}", timeout=60)
        self._provider = provider

    def start_modules(self) -> None:
        backend = {
            "host": f"http://127.0.0.1:{self._provider}",
            "provider": "openai-compatible",
            "key": "sk-of-nobody",
            "models": {"m": {}},
        }
        self._post("/module/start", module_type="llm", config={"backends": {"one": backend}})
        web = {"workers": 1, "webdriver_host": "http://127.0.0.1:9"}
        self._post("/module/start", module_type="web", config=web)

    def through_module(self, clients: int) -> Load:
        return self._load(clients, 0)

    def directly(self, clients: int) -> Load:
        return self._load(clients, self._provider)

    def _load(self, clients: int, port: int) -> Load:
        begins = time.time() + START
        order = {
            "port": port,
            "begins_ms": round(begins * 1e3),
            "ends_ms": round((begins + SECONDS) * 1e3),
        }
        request = {
            **REQUEST,
            "is_sync": False,
            "host_data": HOST_DATA,
            "calldata": base64.b64encode(calldata.encode(order)).decode(),
        }
        ids = [self._post("/genvm/run", **request)["id"] for _ in range(clients)]
        latencies = sorted(second for run_id in ids for second in self._printed(run_id))
        return Load(len(latencies) / SECONDS, latencies)

    def _printed(self, run_id: int) -> list[float]:
        status = self._http.get(f"/genvm/{run_id}?wait=60s").json()["status"]
        printed: list[float] = json.loads(status["stdout"])
        return printed

    def _post(self, path: str, **body: Any) -> Any:
        answer = self._http.post(path, json=body)
        answer.raise_for_status()
        return answer.json()


def figures(rounds: int) -> Iterator[Figure]:
    alone = Figure("prompts, 1 client", "1/s", beside_name="direct")
    crowd = Figure(f"prompts, {CROWD} clients", "1/s", beside_name="direct")
    p50 = Figure("prompt p50, 1 client", "ms", beside_name="direct")
    added = Figure("  of which the module adds", "ms")
    busy = Figure("processor time of workers per prompt", "ms")
    with ExitStack() as stack:
        port = free_port()
        stack.enter_context(peer("provider", str(port)))
        wait_until(lambda: is_listening(port))
        ours = stack.enter_context(service(executor=EXECUTOR))
        asking = Asking(ours, port)
        asking.start_modules()
        for _ in range(rounds):
            direct, through = asking.directly(1), asking.through_module(1)
            alone.beside.append(direct.rate)
            alone.rounds.append(through.rate)
            p50.beside.append(direct.percentile(50) * 1e3)
            p50.rounds.append(through.percentile(50) * 1e3)
            added.rounds.append((through.percentile(50) - direct.percentile(50)) * 1e3)
            crowd.beside.append(asking.directly(CROWD).rate)
            before = _busy_seconds(ours)
            load = asking.through_module(CROWD)
            crowd.rounds.append(load.rate)
            busy.rounds.append((_busy_seconds(ours) - before) * 1e3 / len(load.latencies))
    yield from (alone, crowd, p50, added, busy)


def _busy_seconds(ours: Service) -> float:
    """Processor time of all LLM workers so far."""
    return sum(sum(each.cpu_times()[:2]) for each in ours.processes("llm worker"))
