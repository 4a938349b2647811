"""The supervisor's own memory stays as it is, whatever goes through it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from genvm_manager.protocol.ipc.runs import Capture
from tests.support.supervisor import Client, RunningSupervisor

MIB = 1 << 20
RUNS = 2_000
CLIENTS = 4
ALLOWED = 50 * MIB
BRIEFLY = 15 * MIB
"""For what has come and gone one at a time."""


@contextmanager
def keeping_within(supervisor: RunningSupervisor, allowed: int) -> Iterator[None]:
    """Demand that memory has grown by no more than that in the end, and at each look until then."""
    process = psutil.Process(supervisor.pid)
    before = peak = process.memory_info().rss
    is_over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not is_over.wait(0.1):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()
    grown = max(peak, process.memory_info().rss) - before
    assert grown <= allowed, f"from {before >> 20} MiB by {grown >> 20} MiB"


def print_megabytes(client: Client, failures: list[BaseException]) -> None:
    try:
        for _ in range(RUNS // CLIENTS):
            run = client.run("megabyte")
            assert len(run.stdout) == 1_000_000
    except BaseException as failure:
        failures.append(failure)
        raise


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_thousand_runs_that_each_print_a_megabyte_leave_it_as_it_was() -> None:
    with RunningSupervisor("retained_bytes: 100000000\n") as supervisor:
        clients = [supervisor.connect() for _ in range(CLIENTS)]
        for client in clients:
            client.run("megabyte")
        failures: list[BaseException] = []
        threads = [
            threading.Thread(target=print_megabytes, args=(client, failures)) for client in clients
        ]
        with keeping_within(supervisor, ALLOWED):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not failures


def test_a_flood_leaves_nothing_in_memory() -> None:
    """What a run may keep at the most is in memory until it is on record, and no longer."""
    with RunningSupervisor() as supervisor:
        client = supervisor.client
        client.run("quick")
        process = psutil.Process(supervisor.pid)
        before = process.memory_info().rss
        for child in ("floods_stdout", "prints"):
            run = client.run(child, capture=Capture.EVERYTHING, execution_data=b"64000000")
            assert len(run.stdout) >= 64_000_000
            assert process.memory_info().rss - before <= BRIEFLY, child
        result = client.run("echoes", execution_data=bytes(40 * MIB)).result
        assert result == bytes(40 * MIB)
        assert process.memory_info().rss - before <= BRIEFLY


def flood(supervisor: RunningSupervisor, child: str) -> None:
    run = supervisor.connect().run(child)
    assert run.stdout_dropped or run.log_dropped


def test_floods_at_once_leave_nothing_in_memory() -> None:
    with RunningSupervisor() as supervisor:
        supervisor.client.run("quick")
        process = psutil.Process(supervisor.pid)
        before = process.memory_info().rss
        threads = [
            threading.Thread(target=flood, args=(supervisor, child))
            for child in ("floods_stdout", "floods_log") * 3
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert process.memory_info().rss - before < 24 * MIB
