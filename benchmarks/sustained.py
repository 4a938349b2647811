"""Runs per second through the whole service, beside other process supervisors and a bare loop."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

from .competitor import COMPETITORS, competitor
from .figures import Figure
from .http_load import Connection, request_bytes, run_clients
from .runs import POST, run_once, spawn_once
from .servers import Service, service

SECONDS = 3.0
CLIENTS = (1, 8, 64)
MANY_RUNS = 10_000


def figures(rounds: int) -> Iterator[Figure]:
    """Measure rates, the wait for permits, and memory."""
    with service() as ours:
        yield from _rates(ours, rounds)
        yield from _memory(ours)
    with service(permits=8) as narrow:
        yield from _queue_wait(narrow, rounds)


def _rates(ours: Service, rounds: int) -> Iterator[Figure]:
    """Measure all by turns, so that they meet the same machine load."""
    with ExitStack() as stack:
        competitors = {name: stack.enter_context(competitor(name)) for name in COMPETITORS}
        for clients in CLIENTS:
            beside: dict[str, list[float]] = {"spawn+wait loop": [], **{n: [] for n in COMPETITORS}}
            rates: list[float] = []
            for _ in range(rounds):
                beside["spawn+wait loop"].append(_spawn_rate(SECONDS / 3))
                for name, one in competitors.items():
                    beside[name].append(one.rate(clients, SECONDS))
                load = run_clients(ours.port, run_once, clients=clients, seconds=SECONDS)
                rates.append(load.rate)
            for name, theirs in beside.items():
                yield Figure(f"runs, {_counted(clients)}", "1/s", rates, name, theirs)


def _spawn_rate(seconds: float) -> float:
    began, spawned = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        spawn_once()
        spawned += 1
    return spawned / (time.perf_counter() - began)


def _queue_wait(narrow: Service, rounds: int) -> Iterator[Figure]:
    """Measure how long a run waits for its permit when 64 clients share eight permits."""
    middle, late = (
        Figure(f"wait for a permit, 64 clients for 8, {name}", "ms") for name in ("p50", "p99")
    )
    waits: list[float] = []

    def run_and_note(connection: Connection) -> None:
        waits.append(_queued_ms(connection))

    for _ in range(rounds):
        waits.clear()
        run_clients(narrow.port, run_and_note, clients=64, seconds=SECONDS)
        waits.sort()
        middle.rounds.append(median(waits))
        late.rounds.append(waits[len(waits) * 99 // 100])
    yield from (middle, late)


def _queued_ms(connection: Connection) -> float:
    _, started = connection.exchange(POST)
    run_id = json.loads(started)["id"]
    _, body = connection.exchange(request_bytes("GET", f"/genvm/{run_id}?wait=30s"))
    return float(json.loads(body)["status"]["metrics"]["queued_ms"])


def _memory(ours: Service) -> Iterator[Figure]:
    """Measure how much the supervisor grows while it retains 10,000 more runs."""
    supervisor = ours.process("supervisor")
    before = supervisor.memory_info().rss
    done = 0
    while done < MANY_RUNS:
        load = run_clients(ours.port, run_once, clients=8, seconds=SECONDS)
        done += len(load.latencies)
    after = supervisor.memory_info().rss
    yield Figure(f"memory, supervisor after {done} more runs", "MB", [after / 1e6])
    note = "aim: under 4 KB"
    yield Figure("memory per retained run", "KB", [(after - before) / done / 1e3], note=note)


def _counted(clients: int) -> str:
    return f"{clients} client{'s' if clients > 1 else ''}"
