"""The pool of module workers: real processes, started, fed, killed and stopped."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from genvm_manager.base.errors import BadRequest, RequestFailed
from genvm_manager.base.logging.lines import Level
from genvm_manager.base.logging.shared_level import SharedLevel
from genvm_manager.protocol.module_frames import FatalFault
from genvm_manager.workers.control.messages import Logging, Open
from genvm_manager.workers.pool import pool as pool_rules
from genvm_manager.workers.pool import worker_process
from genvm_manager.workers.pool.worker_process import WorkerProcess
from genvm_manager.workers.worker.identity import Identity
from tests.support.pool import ECHO, PoolUnderTest, is_gone, run, running_pool, wait_until
from tests.support.supervisor import PROJECT


def test_a_pool_has_started_when_every_worker_answers() -> None:
    async def test() -> None:
        async with running_pool({"some": "thing"}, workers=3) as pool:
            executors = [await pool.greeted(number) for number in (1, 2, 3)]
            said = [await executor.ask("Who") for executor in executors]
            assert sorted(each["pid"] for each in said) == sorted(pool.pids)
            assert [each["genvm_id"] for each in said] == [1, 2, 3]
            assert said[0]["config"] == {"some": "thing"}
            ready = [each["worker"] for each in pool.log.named("worker_ready")]
            assert sorted(ready) == sorted(pool.pids)

    run(test)


def test_a_worker_is_what_it_should_be() -> None:
    async def test() -> None:
        async with running_pool() as pool:
            (pid,) = pool.pids
            worker = psutil.Process(pid)
            title = " ".join(worker.cmdline()).strip()
            assert title == f"genvm-manager echo worker /test/{os.getpid()}"
            assert (os.getsid(pid), os.getpgid(pid)) == (os.getsid(0), pid)
            assert worker.rlimit(resource.RLIMIT_CORE) == (0, 0)

    run(test)


def test_the_least_busy_worker_gets_the_next_connection() -> None:
    async def test() -> None:
        async with running_pool(workers=2) as pool:
            executors = [await pool.greeted() for _ in range(6)]
            pids = [(await executor.ask("Who"))["pid"] for executor in executors]
            assert sorted(map(pids.count, set(pids))) == [3, 3]
            assert [worker.sessions for worker in pool.workers] == [3, 3]
            free = pids[0]
            for executor, pid in zip(executors, pids, strict=True):
                if pid == free:
                    await executor.close()
            await wait_until(lambda: sorted(w.sessions for w in pool.workers) == [0, 3])
            for _ in range(3):
                assert (await (await pool.greeted()).ask("Who"))["pid"] == free

    run(test)


def test_a_worker_that_dies_is_replaced_and_the_others_go_on() -> None:
    async def test() -> None:
        async with running_pool(workers=2) as pool:
            victim, other = await pool.greeted(), await pool.greeted()
            pid = (await victim.ask("Who"))["pid"]
            await victim.request("Sleep", 60_000)
            await other.request("Sleep", 300)
            os.kill(pid, signal.SIGKILL)
            assert await victim.receive() is None
            assert await other.answer() is None
            await wait_until(lambda: len(pool.pids) == 2 and pid not in pool.pids)
            (death,) = pool.log.named("worker_died")
            assert death["reason"] == "a worker of the echo module was ended by SIGKILL"
            await wait_until(lambda: len(pool.log.named("worker_ready")) == 3)
            executors = [await pool.greeted() for _ in range(3)]
            both = {(await executor.ask("Who"))["pid"] for executor in executors}
            assert both == set(pool.pids)

    run(test)


def test_starting_a_worker_reaps_no_other() -> None:
    """Code that holds the other's pid would signal a process that is gone, or another one."""

    async def test() -> None:
        def start() -> WorkerProcess:
            order = Open(ECHO, b"{}", True, False, Logging("info", "console", "/nonexistent"))
            return WorkerProcess(Identity("echo", "/test"), order)

        first, second = start(), start()
        os.kill(first.pid, signal.SIGKILL)
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
        third = start()
        assert psutil.Process(first.pid).status() == psutil.STATUS_ZOMBIE
        for process in (first, second, third):
            process.kill()
        for process in (first, second, third):
            await process.gone.wait()
            assert process.error is not None
            assert process.error.message == "a worker of the echo module was ended by SIGKILL"

    run(test)


def test_what_a_worker_has_started_ends_with_it() -> None:
    async def test() -> None:
        async with running_pool() as pool:
            executor = await pool.greeted()
            child = await executor.ask("Spawn")
            assert not is_gone(child)
            # While Python starts there it may have one more open.
            await wait_until(lambda: psutil.Process(child).num_fds() == 3)
            (before,) = pool.pids
            os.kill(before, signal.SIGKILL)
            await wait_until(lambda: is_gone(child) and before not in pool.pids)
            child = await (await pool.greeted()).ask("Spawn")
        assert is_gone(child)

    run(test)


def test_a_connection_waits_while_no_worker_is_ready() -> None:
    async def test() -> None:
        async with running_pool() as pool:
            os.kill(pool.pids[0], signal.SIGSTOP)
            before = pool.pids
            os.kill(pool.pids[0], signal.SIGKILL)
            await wait_until(lambda: pool.pids != before)
            executor = await pool.greeted()
            assert pool.sessions == 1
            assert [(await executor.ask("Who"))["pid"]] == pool.pids

    run(test)


def test_a_connection_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pool_rules, "HANDOVER_TIMEOUT", 0.2)
    monkeypatch.setattr(pool_rules, "MAX_PENDING", 1)

    async def test() -> None:
        needed = tmp_path / "needed"
        needed.touch()
        async with running_pool({"needs": str(needed)}) as pool:
            needed.unlink()
            os.kill(pool.pids[0], signal.SIGKILL)
            await wait_until(lambda: not pool.pids)
            first, second = await pool.executor(), await pool.executor()
            assert await second.receive() is None
            assert await first.receive() is None
            assert pool.sessions == 0

    run(test)


def _has_left(pool: PoolUnderTest, pid: int) -> bool:
    return pid not in pool.pids


def test_a_pool_whose_workers_keep_dying_is_given_up(tmp_path: Path) -> None:
    async def test() -> None:
        needed = tmp_path / "needed"
        needed.touch()
        async with running_pool({"needs": str(needed)}, workers=2) as pool:
            needed.unlink()
            waiting = []
            for pid in pool.pids:
                os.kill(pid, signal.SIGKILL)
                await wait_until(partial(_has_left, pool, pid))
            waiting.append(await pool.executor())
            await wait_until(lambda: pool.failures)
            assert pool.failures == ["a worker of the echo module ended with exit code 3"]
            assert len(pool.log.named("worker_given_up")) == 2
            deaths = pool.log.named("worker_died")
            assert [death["retry_in"] for death in deaths].count(0.01) == 2
            assert len(deaths) == 4
            assert pool.workers == [pool_rules.WorkerView(None, 0)] * 2
            assert await waiting[0].receive() is None
            assert await (await pool.executor()).receive() is None

    run(test)


@pytest.mark.parametrize("doing", ["Sleep", "Block"])
def test_workers_end_with_their_owner_whatever_they_do(doing: str) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-m", "tests.children.pool_owner", doing],
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )
    assert owner.stdout is not None
    pids = [int(word) for word in owner.stdout.readline().split()]
    assert len(pids) == 3
    assert not any(is_gone(pid) for pid in pids)
    owner.kill()
    owner.wait()
    run(lambda: wait_until(lambda: all(is_gone(pid) for pid in pids)))
    owner.stdout.close()


@pytest.mark.parametrize(
    ("config", "kind", "said"),
    [
        ({"fail": "backends.x.host: missing"}, BadRequest, "backends.x.host: missing"),
        ({"refuse": "no browser"}, RequestFailed, "no browser"),
        ({"raise": "surprise"}, RequestFailed, "the echo module failed; its log says more"),
        (
            {"needs": "/no/such"},
            RequestFailed,
            "a worker of the echo module ended with exit code 3",
        ),
    ],
)
def test_a_start_that_fails_says_why_and_leaves_nothing(
    config: dict[str, Any], kind: type[Exception], said: str
) -> None:
    async def test() -> None:
        pool = PoolUnderTest(config, workers=2)
        with pytest.raises(kind) as failure:
            await pool.start()
        assert str(failure.value) == said
        assert not pool.pids
        assert not pool.failures

    run(test)


def test_a_module_that_is_not_there_is_named() -> None:
    async def test() -> None:
        with pytest.raises(RequestFailed, match=r"^the echo module is not installed$"):
            await PoolUnderTest(module="tests.children.nothing.module").start()

    run(test)


def test_a_start_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "START_TIMEOUT", 0.5)

    async def test() -> None:
        pool = PoolUnderTest({"hang": True})
        with pytest.raises(RequestFailed, match="was not ready within"):
            await pool.start()
        assert not pool.pids

    run(test)


def test_a_start_can_be_called_off() -> None:
    async def test() -> None:
        pool = PoolUnderTest({"hang": True}, workers=2)
        starting = asyncio.create_task(pool.start())
        pids = await wait_until(lambda: len(pool.pids) == 2 and pool.pids)
        starting.cancel()
        await asyncio.wait({starting})
        assert starting.cancelled()
        assert all(is_gone(pid) for pid in pids)

    run(test)


def test_a_drain_waits_for_connections_and_no_longer() -> None:
    async def test() -> None:
        async with running_pool() as pool:
            executor = await pool.greeted()
            draining = asyncio.create_task(pool.drain(60))
            await executor.request("Sleep", 200)
            assert await executor.answer() is None
            assert not draining.done()
            await executor.close()
            await draining

    run(test)


def test_a_drain_ends_when_its_time_is_over_or_somebody_is_in_a_hurry() -> None:
    async def test() -> None:
        async with running_pool() as pool:
            executor = await pool.greeted()
            await pool.drain(0.1)
            draining = asyncio.create_task(pool.drain(60))
            await asyncio.sleep(0)
            pool.hurry()
            await draining
            assert await executor.ask("Echo", 5) == 5
            await pool.stop(5)
            assert await executor.receive() is None

    run(test)


def test_a_worker_that_dies_during_a_drain_has_no_successor() -> None:
    async def test() -> None:
        async with running_pool() as pool:
            executor = await pool.greeted()
            await executor.ask("Echo")
            draining = asyncio.create_task(pool.drain(60))
            await asyncio.sleep(0)
            os.kill(pool.pids[0], signal.SIGKILL)
            await draining
            assert not pool.pids
            assert not pool.failures

    run(test)


@pytest.mark.parametrize(
    ("config", "ending"),
    [
        ({}, "ended with exit code 0"),
        ({"slow_close": True}, "was ended by SIGTERM"),
        ({"deaf": True}, "was ended by SIGKILL"),
    ],
)
def test_the_steps_of_a_stop(config: dict[str, Any], ending: str) -> None:
    async def test() -> None:
        pool = PoolUnderTest(config)
        await pool.start()
        worker = pool._supervisors[0].process
        assert worker is not None
        await pool.stop(20 if not config else 0.5)
        assert worker.error is not None
        assert worker.error.message.endswith(ending)

    run(test)


def test_a_second_stop_only_shortens() -> None:
    async def test() -> None:
        pool = PoolUnderTest({"deaf": True}, workers=2)
        await pool.start()
        pids = pool.pids
        slow = asyncio.create_task(pool.stop(60))
        await asyncio.sleep(0.1)
        assert not slow.done()
        await pool.stop(0)
        await slow
        assert all(is_gone(pid) for pid in pids)

    run(test)


def test_a_worker_that_says_nothing_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "HEARTBEAT", 0.5)

    async def test() -> None:
        async with running_pool() as pool:
            (stuck,) = pool.pids
            await asyncio.sleep(0)
            os.kill(stuck, signal.SIGSTOP)
            await wait_until(lambda: pool.pids and stuck not in pool.pids)
            (death,) = pool.log.named("worker_died")
            assert "said nothing for" in death["reason"]

    run(test)


def test_user_error_answers_everything_and_wants_no_backends() -> None:
    async def test() -> None:
        async with running_pool(user_error=True) as pool:
            executor = await pool.greeted()
            for _ in range(2):
                with pytest.raises(Exception, match=r"^MODULE_USER_ERROR$") as fault:
                    await executor.ask("Who")
                assert fault.value.causes == ["MODULE_USER_ERROR"]  # type: ignore[attr-defined]
        pool = PoolUnderTest({"fail": "still checked"}, user_error=True)
        with pytest.raises(BadRequest, match="still checked"):
            await pool.start()

    run(test)


def test_options_reach_the_module() -> None:
    async def test() -> None:
        async with running_pool(allow_empty_backends=True) as pool:
            assert (await (await pool.greeted()).ask("Who"))["allow_empty_backends"] is True

    run(test)


def test_no_descriptor_is_left_after_many_connections() -> None:
    async def test() -> None:
        async with running_pool() as pool:
            worker = psutil.Process(pool.pids[0])

            async def one() -> None:
                executor = await pool.greeted()
                assert await executor.ask("Echo", "x") == "x"
                await executor.close()

            await one()
            await wait_until(lambda: pool.sessions == 0)
            gc.collect()
            ours, theirs = psutil.Process().num_fds(), worker.num_fds()
            for _ in range(200):
                await one()
            for _ in range(20):
                (await pool.executor()).writer.close()
            await wait_until(lambda: pool.sessions == 0)
            assert (psutil.Process().num_fds(), worker.num_fds()) == (ours, theirs)

    run(test)


def test_the_log_level_reaches_workers_and_secrets_do_not_reach_the_log(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async def test() -> str:
        shared = SharedLevel(tmp_path, "info")
        lines: list[str] = []

        async def set_level(level: Level) -> None:
            shared.write(level)
            wanted = f"log_level_set to={level} process='echo worker'"

            def is_set() -> bool:
                lines.append(capfd.readouterr().err)
                return wanted in "".join(lines)

            await wait_until(is_set)

        async with running_pool(
            secrets=("sk-12345\n",), config={}, state_folder=str(tmp_path)
        ) as pool:
            executor = await pool.greeted()
            await executor.ask("Say", "loud sk-12345")
            await set_level("error")
            await executor.ask("Say", "quiet")
            with pytest.raises(FatalFault):
                await executor.ask("Broken", "sk-12345\n")
            os.kill(pool.pids[0], signal.SIGKILL)
            await wait_until(lambda: len(pool.log.named("worker_ready")) == 2)
            await (await pool.greeted()).ask("Say", "still quiet")
            await set_level("info")
            await (await pool.greeted()).ask("Say", "loud again")
        return "".join(lines) + capfd.readouterr().err

    said = run(test)
    assert "loud ***" in said
    assert "loud again" in said
    assert "quiet" not in said
    assert "KeyError" in said
    assert "sk-12345" not in said
