"""Runs of a trivial child through the whole service, beside spawning it directly."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from statistics import median

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address

from .figures import Figure, milliseconds
from .http_load import Connection, request_bytes
from .servers import Service, service

PROGRAM = "/bin/true"
SINGLE_RUNS = 100

_ADDRESS = "0x" + "11" * 20
REQUEST = {
    "major": 0,
    "message": {
        "contract_address": _ADDRESS,
        "sender_address": _ADDRESS,
        "origin_address": _ADDRESS,
        "chain_id": 1,
        "is_init": False,
    },
    "calldata": "",
    "timestamp": "2026-01-01T00:00:00Z",
    "host": "unix:///nonexistent/host.sock",
    "is_sync": True,
}
POST = request_bytes("POST", "/genvm/run", json.dumps(REQUEST).encode())
LARGE = 1 << 20


def calldata_post(size: int) -> bytes:
    """Return the request as calldata, whose call carries `size` bytes."""
    addresses = dict.fromkeys(
        ("contract_address", "sender_address", "origin_address"), Address(bytes.fromhex("11" * 20))
    )
    message = {"chain_id": 1, "is_init": False, **addresses}
    request = {**REQUEST, "message": message, "calldata": bytes(size)}
    body = calldata.encode(request)
    return request_bytes("POST", "/genvm/run", body, "application/octet-stream")


def run_once(connection: Connection, post: bytes = POST) -> None:
    """POST a run and wait until it has finished."""
    status, body = connection.exchange(post)
    assert status == 200, body
    run_id = json.loads(body)["id"]
    status, body = connection.exchange(request_bytes("GET", f"/genvm/{run_id}?wait=30s"))
    assert status == 200 and b'"cause":"exited"' in body, body


def spawn_once() -> None:
    """Spawn the child directly and wait for its end."""
    os.waitpid(os.posix_spawn(PROGRAM, [PROGRAM], {}, setsid=True), 0)


def figures(rounds: int) -> Iterator[Figure]:
    """Measure latency, a large call, and memory."""
    with service() as ours:
        yield from _one_at_a_time(ours, rounds)
        yield _large(ours, rounds)
        yield from _memory(ours)


def _one_at_a_time(ours: Service, rounds: int) -> Iterator[Figure]:
    """Measure idle latency: what the service adds to a child that ends at once."""
    figure = Figure("POST to finished, idle", "ms", beside_name="spawn+wait")
    added = Figure("  of which the service adds", "ms", note="aim: within 4 ms")
    connection = Connection(ours.port)
    for _ in range(rounds):
        by_hand, through = [], []
        for _ in range(SINGLE_RUNS):
            by_hand.append(milliseconds(spawn_once))
            through.append(milliseconds(lambda: run_once(connection)))
        figure.beside.append(median(by_hand))
        figure.rounds.append(median(through))
        added.rounds.append(median(through) - median(by_hand))
    connection.close()
    yield figure
    yield added


def _large(ours: Service, rounds: int) -> Figure:
    """Measure a call that carries 1 MiB, beside one that carries nothing."""
    figure = Figure("POST to finished, 1 MiB of calldata", "ms", beside_name="empty call")
    small, large = calldata_post(0), calldata_post(LARGE)
    connection = Connection(ours.port)
    for _ in range(rounds):
        without, with_data = [], []
        for _ in range(SINGLE_RUNS // 2):
            without.append(milliseconds(lambda: run_once(connection, small)))
            with_data.append(milliseconds(lambda: run_once(connection, large)))
        figure.beside.append(median(without))
        figure.rounds.append(median(with_data))
    connection.close()
    return figure


def _memory(ours: Service) -> Iterator[Figure]:
    """Measure the resident memory of the service's own processes after all those runs."""
    for role in ("supervisor", "http worker"):
        sizes = [process.memory_info().rss / 1e6 for process in ours.processes(role)]
        yield Figure(f"memory, {role}", "MB", sizes, note="aim: under 60 MB")
