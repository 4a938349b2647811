"""The threads that serve requests, also when the system refuses one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event, Thread, current_thread

import pytest

from genvm_manager.manager.server.request_threads import RequestThreads
from tests.support.waiting import TIMEOUT, wait_until

MOST = 3


@pytest.fixture
def threads() -> Iterator[RequestThreads]:
    threads = RequestThreads(MOST)
    yield threads
    threads.shutdown()


@pytest.fixture
def done() -> SimpleQueue[object]:
    return SimpleQueue()


@contextmanager
def no_new_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse)
        yield


def occupy(threads: RequestThreads, done: SimpleQueue[object]) -> Event:
    """Keep one thread until the event is set; it runs when this returns."""
    begun, go = Event(), Event()

    def work() -> None:
        begun.set()
        go.wait()
        done.put(current_thread())

    threads.submit(work)
    assert begun.wait(TIMEOUT)
    return go


def test_a_thread_that_is_idle_is_used_again(
    threads: RequestThreads, done: SimpleQueue[object]
) -> None:
    first = occupy(threads, done)
    second = occupy(threads, done)
    first.set()
    used = done.get(timeout=TIMEOUT)
    # It counts as idle a moment after it has said so.
    wait_until(lambda: threads._idle == 1)
    occupy(threads, done).set()
    assert done.get(timeout=TIMEOUT) is used
    second.set()
    assert done.get(timeout=TIMEOUT) is not used


def test_work_beyond_all_threads_waits_for_one(
    threads: RequestThreads, done: SimpleQueue[object]
) -> None:
    gos = [occupy(threads, done) for _ in range(MOST)]
    for number in range(2 * MOST):
        threads.submit(lambda number=number: done.put(number))  # type: ignore[misc]
    assert done.empty()
    for go in gos:
        go.set()
    got = [done.get(timeout=TIMEOUT) for _ in range(3 * MOST)]
    assert sorted(each for each in got if isinstance(each, int)) == list(range(2 * MOST))


def test_work_without_a_thread_is_refused_and_costs_no_other_its_own(
    threads: RequestThreads, done: SimpleQueue[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = occupy(threads, done)
    with no_new_thread(monkeypatch):
        for _ in range(5):
            with pytest.raises(RuntimeError):
                threads.submit(lambda: done.put("refused"))
        first.set()
        assert isinstance(done.get(timeout=TIMEOUT), Thread)
        wait_until(lambda: threads._idle == 1)
        busy = occupy(threads, done)
        with pytest.raises(RuntimeError):
            threads.submit(lambda: done.put("refused"))
    # Each has a thread of its own again, and what was refused was never done.
    others = [occupy(threads, done) for _ in range(MOST - 1)]
    for go in (busy, *others):
        go.set()
    assert {type(done.get(timeout=TIMEOUT)) for _ in range(MOST)} == {Thread}
    assert done.empty()


def test_threads_end_once_no_work_is_left(done: SimpleQueue[object]) -> None:
    threads = RequestThreads(MOST)
    gos = [occupy(threads, done) for _ in range(MOST)]
    threads.submit(lambda: done.put("last"))
    threads.shutdown()
    for go in gos:
        go.set()
    got = [done.get(timeout=TIMEOUT) for _ in range(MOST + 1)]
    assert "last" in got
    for each in got:
        if isinstance(each, Thread):
            each.join(TIMEOUT)
            assert not each.is_alive()
