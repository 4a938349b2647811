"""Load on modules: runs that send them one request after the other for some seconds."""

from __future__ import annotations

import base64
import json
import sys
import time
from typing import Any

import httpx

from genvm_manager.protocol import calldata

from .figures import Figure
from .http_load import Load
from .runs import REQUEST
from .servers import Service

EXECUTOR = (sys.executable, "-m", "benchmarks.baselines.asking_executor")
CROWD = 8
SECONDS = 3.0
START = 2.0
"""Seconds in which all clients must have started."""

HOST_DATA = '{"node_address": "0x01", "tx_id": "0x02"}'


class ModuleLoad:
    """Starts runs whose executor is `EXECUTOR`, which sends requests to a module."""

    def __init__(self, ours: Service) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{ours.port}", timeout=60)

    def start_module(self, kind: str, config: dict[str, Any], **more: Any) -> None:
        """Start a module of the service."""
        self._post("/module/start", module_type=kind, config=config, **more)

    def load(self, what: str, clients: int, url: str = "", port: int = 0) -> Load:
        """Run so many clients at once and return what they measured.

        `port`: the server to send requests to directly, past the module; 0 uses the module.
        """
        begins = time.time() + START
        order = {
            "what": what,
            "url": url,
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


class Comparison:
    """Requests through a module beside direct ones, by one client and by `CROWD` clients."""

    def __init__(self, runs: ModuleLoad, what: str, port: int, url: str = "") -> None:
        """Prepare the figures; `port` is of the server for direct requests."""
        self._runs, self._what, self._port, self._url = runs, what, port, url
        self._alone = Figure(f"{what}s, 1 client", "1/s", beside_name="direct")
        self._crowd = Figure(f"{what}s, {CROWD} clients", "1/s", beside_name="direct")
        self._p50 = Figure(f"{what} p50, 1 client", "ms", beside_name="direct")
        self._added = Figure("  of which the module adds", "ms")

    def measure(self) -> int:
        """Measure one round; return the number of requests through the module."""
        direct, through = self._load(1, is_direct=True), self._load(1)
        self._alone.add(through.rate, direct.rate)
        self._p50.add(through.percentile(50) * 1e3, direct.percentile(50) * 1e3)
        self._added.rounds.append((through.percentile(50) - direct.percentile(50)) * 1e3)
        direct, crowd = self._load(CROWD, is_direct=True), self._load(CROWD)
        self._crowd.add(crowd.rate, direct.rate)
        return len(through.latencies) + len(crowd.latencies)

    def figures(self) -> tuple[Figure, ...]:
        """Return the figures of all rounds."""
        return self._alone, self._crowd, self._p50, self._added

    def _load(self, clients: int, *, is_direct: bool = False) -> Load:
        return self._runs.load(self._what, clients, self._url, self._port if is_direct else 0)
