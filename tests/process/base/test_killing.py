"""Ending real processes: by group, by identity, until nothing is left; and noticing their end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from genvm_manager.base.process.children import open_child_pidfd, reap_child
from genvm_manager.base.process.identity import ProcessIdentity
from genvm_manager.base.process.killing import ProcessGroup, kill_until_gone, signal_group
from genvm_manager.base.process.on_event_loop import begin_stop, wait_for_end
from genvm_manager.base.process.on_event_loop import kill_until_gone as kill_until_gone_async
from genvm_manager.base.process.pidfd import has_ended, wait_readable
from genvm_manager.base.process.stop_sequence import StopStep, stop_sequence
from tests.support.waiting import TIMEOUT


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a group, in which it has a child, and does nothing."""
    program = "import os, time; os.fork(); print(flush=True); time.sleep(600)"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        for _ in range(2):
            process.stdout.readline()
        yield process
        signal_group(process.pid, signal.SIGKILL)


def test_a_group_is_killed_and_reaped_until_it_is_empty(sleeper: subprocess.Popen[bytes]) -> None:
    group = ProcessGroup(sleeper.pid)
    assert group.kill(), "its members lived"
    assert not kill_until_gone(group.kill, TIMEOUT)
    assert not signal_group(sleeper.pid, signal.SIGCONT)
    assert not reap_child(sleeper.pid), "it is reaped already"


def test_an_empty_group_is_never_signalled_again(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    group = ProcessGroup(sleeper.pid)
    kill_until_gone(group.kill, TIMEOUT)
    sent: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda number, _: sent.append(number))
    assert not group.kill()
    assert not sent


def test_the_group_of_an_unknown_process_is_not_our_own() -> None:
    assert not signal_group(0, signal.SIGKILL)


def test_what_survives_is_returned_when_the_time_is_over() -> None:
    looks: list[float] = []

    def kill() -> list[int]:
        looks.append(time.monotonic())
        return [7]

    began = time.monotonic()
    assert kill_until_gone(kill, 0.2) == [7]
    assert looks[-1] - began >= 0.2
    assert len(looks) > 1


def test_the_loop_is_the_same_on_an_event_loop(sleeper: subprocess.Popen[bytes]) -> None:
    group = ProcessGroup(sleeper.pid)

    async def kill() -> bool:
        return group.kill()

    assert not asyncio.run(kill_until_gone_async(kill, TIMEOUT))
    assert not signal_group(sleeper.pid, signal.SIGCONT)


def test_a_signal_goes_to_the_very_process_only(sleeper: subprocess.Popen[bytes]) -> None:
    known = ProcessIdentity.of(sleeper.pid)
    assert known is not None and known.is_alive()
    pidfd = os.pidfd_open(sleeper.pid)
    try:
        successor = ProcessIdentity(known.pid, known.start_ticks + 1)
        assert not successor.is_alive()
        assert not successor.signal(signal.SIGKILL)
        assert not has_ended(pidfd, within=0.05)
        assert known.signal(signal.SIGKILL)
        assert has_ended(pidfd, TIMEOUT)
    finally:
        os.close(pidfd)
    assert not known.is_alive(), "a zombie has ended"
    sleeper.wait()
    assert ProcessIdentity.of(sleeper.pid) is None
    assert not known.signal(signal.SIGKILL)


def test_an_end_is_noticed_on_an_event_loop(sleeper: subprocess.Popen[bytes]) -> None:
    async def watch() -> None:
        pidfd = open_child_pidfd(sleeper.pid)
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait_for_end(pidfd), 0.05)
            sleeper.kill()
            await asyncio.wait_for(wait_for_end(pidfd), TIMEOUT)
        finally:
            os.close(pidfd)

    asyncio.run(watch())
    assert sleeper.wait() == -signal.SIGKILL, "nobody else has reaped it"


def test_a_child_that_cannot_be_watched_does_not_live(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        open_child_pidfd(sleeper.pid)
    assert not reap_child(sleeper.pid)


def test_a_stop_on_an_event_loop_sends_what_is_due_and_sets_timers_for_the_rest() -> None:
    async def stop() -> list[signal.Signals]:
        sent: list[signal.Signals] = []
        done = asyncio.Event()

        def send(number: signal.Signals) -> None:
            sent.append(number)
            if number is signal.SIGKILL:
                done.set()

        timers = begin_stop(stop_sequence(0.05), send)
        assert sent == [signal.SIGTERM]
        assert len(timers) == 1
        await asyncio.wait_for(done.wait(), TIMEOUT)
        for timer in begin_stop([StopStep(signal.SIGTERM, 0.01)], send):
            timer.cancel()
        await asyncio.sleep(0.05)
        return sent

    assert asyncio.run(stop()) == [signal.SIGTERM, signal.SIGKILL]


def test_a_pipe_is_readable_when_its_writer_is_gone() -> None:
    reader, writer = os.pipe()
    try:
        assert not wait_readable([reader], 0)
        os.close(writer)
        assert wait_readable([reader], None)
    finally:
        os.close(reader)
