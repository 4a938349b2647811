"""A result is kept from the moment on in which its executor is told so."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from genvm_manager.base.files.state_folder import run_scratch
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol.ipc.runs import Cause, Exit
from genvm_manager.supervisor.runs.result_channel import ResultChannel
from tests.support.supervisor import RunningSupervisor
from tests.support.waiting import TIMEOUT, wait_until

RESULT = b"\6" + (5).to_bytes(4, "little") + b"whole"


def _was_answered(supervisor: RunningSupervisor) -> bool:
    return any(run_scratch(supervisor.state).glob("*/answered"))


def test_a_result_outlives_the_supervisor_that_took_it() -> None:
    with RunningSupervisor() as supervisor:
        kept = supervisor.client.start("lingers_after_its_result", execution_data=b"r" * 100_000)
        lost = supervisor.client.start("slow")
        wait_until(lambda: _was_answered(supervisor))
        supervisor.kill()
        supervisor.start()
        run = supervisor.client.get(kept)
        assert run is not None
        assert (run.cause, run.exit, run.result) == (Cause.EXITED, Exit(), b"r" * 100_000)
        assert "ended before it saw the end of this run" in (run.reason or "")
        assert run.started_at is not None and run.accepted_at <= run.started_at <= run.finished_at
        assert f"run_finished run={kept} cause=exited result=True" in supervisor.log
        other = supervisor.client.get(lost)
        assert other is not None
        assert (other.cause, other.result) == (Cause.LOST, None)
        supervisor.assert_no_runs()


def test_a_kept_result_is_the_same_after_its_run_has_ended() -> None:
    with RunningSupervisor() as supervisor, supervisor.leaves_nothing() as client:
        run_id = client.start("lingers_after_its_result")
        wait_until(lambda: _was_answered(supervisor))
        client.cancel(run_id)
        run = client.finished(run_id)
        assert (run.cause, run.exit, run.result) == (Cause.CANCELLED, Exit(signal=9), b"data")


@pytest.mark.parametrize("is_taken", [True, False])
def test_the_answer_waits_until_the_store_has_taken_the_result(is_taken: bool) -> None:
    async def session() -> None:
        loop = asyncio.get_running_loop()
        kept: asyncio.Future[None] = loop.create_future()
        arrived: asyncio.Future[bytes] = loop.create_future()

        def keep(result: bytes) -> asyncio.Future[None]:
            arrived.set_result(result)
            return kept

        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.setblocking(False)
            channel = ResultChannel(loop, ours, 1, keep, EventLog(logging.getLogger("test")))
            await loop.sock_sendall(theirs, RESULT)
            assert await asyncio.wait_for(arrived, TIMEOUT) == b"whole"
            with pytest.raises(BlockingIOError):
                theirs.recv(1)
            if is_taken:
                kept.set_result(None)
            else:
                # It is in memory, and goes on record with the end of the run.
                kept.set_exception(OSError("no room"))
            assert await asyncio.wait_for(loop.sock_recv(theirs, 2), 5) == b"\0"
            channel.close()

    asyncio.run(session())
