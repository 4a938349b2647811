"""A disk that does not take writes: nothing is told that is not on record, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import threading
from pathlib import Path

import psutil
import pytest

from genvm_manager.base.errors import Unavailable
from genvm_manager.base.files.state_folder import last_run_id, run_store
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol.ipc.runs import Capture, Cause, FinishedRun
from genvm_manager.supervisor.store.file import open_store
from genvm_manager.supervisor.store.file_watch import StoreFiles
from genvm_manager.supervisor.store.last_run_id import LastRunId
from genvm_manager.supervisor.store.reads import StoreReader
from genvm_manager.supervisor.store.state_lock import HeldFolder
from tests.support.measuring import not_while_measured
from tests.support.supervisor import Client, RunningSupervisor
from tests.support.waiting import TIMEOUT, wait_until


def forbid_writes(supervisor: RunningSupervisor, forbidden: bool) -> None:
    """Let no file of the supervisor's grow beyond a page, or let all grow again."""
    limit = 4096 if forbidden else resource.RLIM_INFINITY
    process = psutil.Process(supervisor.pid)
    process.rlimit(psutil.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def cancel(client: Client, run_id: int) -> None:
    """Who cancels is not kept waiting for the disk for long."""
    with contextlib.suppress(Unavailable):
        client.cancel(run_id)


def test_ends_wait_for_the_disk() -> None:
    with RunningSupervisor() as supervisor, supervisor.leaves_nothing() as client:
        run_id = client.start("slow")
        waiting = supervisor.connect()
        found: list[FinishedRun | None] = []
        waiter = threading.Thread(target=lambda: found.append(waiting.get(run_id, 20.0)))
        waiter.start()
        forbid_writes(supervisor, True)
        client.socket.settimeout(TIMEOUT)
        canceller = threading.Thread(target=cancel, args=(supervisor.connect(), run_id))
        canceller.start()
        wait_until(lambda: "error run_end_not_recorded" in supervisor.log)
        assert not client.status().accepting
        assert client.get(run_id) is None
        with pytest.raises(Unavailable, match="the state store cannot be written") as refused:
            client.start("quick")
        assert refused.value.retry_after > 0
        assert not found
        forbid_writes(supervisor, False)
        waiter.join(TIMEOUT)
        canceller.join(TIMEOUT)
        assert found[0] is not None and found[0].cause is Cause.CANCELLED
        assert client.get(run_id) == found[0]
        assert client.status().accepting
        supervisor.hang_up_but(client)


def test_a_start_that_cannot_be_recorded_starts_nothing() -> None:
    with RunningSupervisor() as supervisor, supervisor.leaves_nothing() as client:
        forbid_writes(supervisor, True)
        with pytest.raises(Unavailable, match="the state store cannot be written"):
            client.start("slow")
        assert "run_running" not in supervisor.log.rpartition("run_finished")[2]
        forbid_writes(supervisor, False)
        assert client.run("quick").exit.code == 0


@not_while_measured
def test_an_end_that_cannot_be_recorded_is_lost_openly() -> None:
    with RunningSupervisor("drain_timeout: 1s\n") as supervisor:
        run_id = supervisor.client.start("slow")
        forbid_writes(supervisor, True)
        supervisor.process.terminate()
        assert supervisor.process.wait(TIMEOUT) == 0
        assert f"error run_lost run={run_id}" in supervisor.log
        supervisor.start()
        lost = supervisor.client.get(run_id)
        assert lost is not None and lost.cause is Cause.LOST


def test_a_store_that_cannot_tell_its_last_id_does_not_end_its_writer(tmp_path: Path) -> None:
    async def look() -> None:
        held = HeldFolder(tmp_path)
        path = run_store(tmp_path)
        connection, _, _ = open_store(path)
        given = LastRunId(last_run_id(tmp_path))
        reads = StoreReader(path, asyncio.get_running_loop(), lambda _: None)
        files = StoreFiles(held, given, reads, EventLog(logging.getLogger("store")))
        given.reserve(1)
        connection.close()
        files.written(connection)
        assert given.is_behind, "nothing was noted of an id that is not known"
        reads.close()
        files.close()
        held.release()

    asyncio.run(look())


def test_the_oldest_are_forgotten_when_there_is_too_much() -> None:
    with RunningSupervisor("retained_bytes: 10000000\n") as supervisor:
        client = supervisor.client
        ids = [client.run("prints", execution_data=b"1000000").id for _ in range(12)]
        wait_until(lambda: client.get(ids[0]) is None)
        kept = [run_id for run_id in ids if client.get(run_id) is not None]
        assert kept == ids[-len(kept) :]
        assert 8 <= len(kept) <= 9
        wait_until(lambda: [each.id for each in client.status().executions] == kept)
        wait_until(lambda: "warn runs_crowded_out count=" in supervisor.log)
        # One that is too much by itself is the last to go.
        large = client.run("prints", execution_data=b"4000000", capture=Capture.TAIL)
        larger = client.run("prints", execution_data=b"12000000", capture=Capture.EVERYTHING)
        wait_until(lambda: client.get(large.id) is None)
        assert client.get(larger.id) == larger
        supervisor.kill()
        supervisor.start()
        assert supervisor.client.get(larger.id) == larger
        assert supervisor.client.run("quick").exit.code == 0
        wait_until(lambda: supervisor.client.get(larger.id) is None)


def test_the_disk_gets_back_what_is_forgotten() -> None:
    with RunningSupervisor("execution_retention: 1s\n") as supervisor:
        supervisor.client.run("floods_stdout", capture=Capture.EVERYTHING)
        size = run_store(supervisor.state).stat().st_size
        assert size > 80 << 20

        def has_shrunk() -> bool:
            # The file is cut when the log of writes is carried over, which takes some writing.
            supervisor.client.run("quick")
            return run_store(supervisor.state).stat().st_size < size

        wait_until(has_shrunk)
