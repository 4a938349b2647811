"""`GET /status` beside bare Flask and a forwarding Flask, and `/metrics` beside `/status`."""

from __future__ import annotations

from collections.abc import Iterator

from .figures import Figure
from .http_load import Connection, Load, request_bytes, run_clients
from .servers import bare_flask, service

CLIENTS = 8
CROWD = 64
RETAINED = 10_000
SECONDS = 2.0


def get(port: int, path: str, clients: int = CLIENTS) -> Load:
    """Run clients that get a path."""
    request = request_bytes("GET", path)

    def exchange(connection: Connection) -> None:
        status, body = connection.exchange(request)
        assert status == 200, body

    return run_clients(port, exchange, clients=clients, seconds=SECONDS)


def figures(rounds: int) -> Iterator[Figure]:
    """Measure `/status` and `/metrics`."""
    yield from _beside_flask(rounds)
    yield from _with_retained_runs(rounds)
    yield _metrics(rounds)


def _with_retained_runs(rounds: int) -> Iterator[Figure]:
    """Measure with a full store beside an empty one: the reply should not cost more."""
    name = f"/status, {RETAINED:,} retained runs, {CROWD} clients"
    rate = Figure(name, "1/s", beside_name="0 retained")
    p50 = Figure("  p50", "ms", beside_name="0 retained")
    p99 = Figure("  p99", "ms", beside_name="0 retained")
    with service() as empty, service(RETAINED) as full:
        get(empty.port, "/status", CROWD), get(full.port, "/status", CROWD)
        for _ in range(rounds):
            without = get(empty.port, "/status", CROWD)
            with_all = get(full.port, "/status", CROWD)
            for figure, ours, theirs in (
                (rate, with_all.rate, without.rate),
                (p50, with_all.percentile(50) * 1e3, without.percentile(50) * 1e3),
                (p99, with_all.percentile(99) * 1e3, without.percentile(99) * 1e3),
            ):
                figure.add(ours, theirs)
    yield from (rate, p50, p99)


def _metrics(rounds: int) -> Figure:
    """Measure one request after another, as Prometheus sends them."""
    figure = Figure("/metrics p50, 1 client", "ms", beside_name="/status")
    with service() as ours:
        get(ours.port, "/metrics", 1)
        for _ in range(rounds):
            figure.beside.append(get(ours.port, "/status", 1).percentile(50) * 1e3)
            figure.rounds.append(get(ours.port, "/metrics", 1).percentile(50) * 1e3)
    return figure


def _beside_flask(rounds: int) -> Iterator[Figure]:
    against_bare = Figure(f"/status, {CLIENTS} clients", "1/s", beside_name="bare Flask")
    against_forward = Figure(f"/status, {CLIENTS} clients", "1/s", beside_name="forwarding Flask")
    p50 = Figure("/status p50", "ms", beside_name="bare Flask")
    p99 = Figure("/status p99", "ms", beside_name="bare Flask")
    with service() as ours, bare_flask() as theirs:
        for port, path in ((ours.port, "/status"), (theirs, "/bare"), (theirs, "/forward")):
            get(port, path)
        for _ in range(rounds):
            bare, forward = get(theirs, "/bare"), get(theirs, "/forward")
            status = get(ours.port, "/status")
            for figure, ours_is, theirs_is in (
                (against_bare, status.rate, bare.rate),
                (against_forward, status.rate, forward.rate),
                (p50, status.percentile(50) * 1e3, bare.percentile(50) * 1e3),
                (p99, status.percentile(99) * 1e3, bare.percentile(99) * 1e3),
            ):
                figure.add(ours_is, theirs_is)
    yield from (against_bare, against_forward, p50, p99)
