"""The status as events: what changed since the last one, and what a slow client gets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from genvm_manager.base.errors import Unavailable
from genvm_manager.manager.api.events.status_view import StatusView
from genvm_manager.manager.api.events.subscriber import Subscriber
from genvm_manager.protocol.ipc.modules import ModuleKind, ModuleState, ModuleStatus
from genvm_manager.protocol.ipc.runs import RunState
from genvm_manager.protocol.ipc.status import Execution, Permits, Status, pack_executions


def execution(run_id: int, **fields: Any) -> Execution:
    known: dict[str, Any] = {
        "id": run_id,
        "state": RunState.RUNNING,
        "cause": None,
        "version": "v1.0.0",
        "accepted_at": 0.5,
        "started_at": 1.0,
        "strict_deadline": 2.0,
        "finished_at": None,
        "pid": 5,
        "rss": 1000,
        "cpu_seconds": 0.5,
    }
    return Execution(**(known | fields))


def over(run_id: int) -> Execution:
    return execution(run_id, state=RunState.FINISHED, finished_at=3.0, pid=None, rss=None)


def status(
    *under_way: Execution, finished: tuple[Execution, ...] = (), revision: int = 1, in_use: int = 0
) -> Status:
    stopped = ModuleStatus(ModuleState.STOPPED, None, 0.0, [], 0)
    return Status(
        revision=revision,
        refusal=None,
        modules=dict.fromkeys(ModuleKind, stopped),
        permits=Permits(8 - in_use, 8, in_use, 0, 1, 2),
        under_way=list(under_way),
        finished=pack_executions(list(finished)),
        executions_omitted=0,
        sampled_at=None,
        audit=[],
    )


def document(event: bytes) -> tuple[str, dict[str, Any]]:
    head, data, *rest = event.decode().split("\n")
    assert rest == ["", ""]
    return head.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_the_first_view_is_shown_whole() -> None:
    view = StatusView(status(execution(3), finished=(over(1), over(2))))
    name, shown = document(view.whole)
    assert name == "status"
    assert list(shown["status"]["executions"]) == ["3", "1", "2"]
    assert shown["gone"] == []


def test_a_change_has_what_is_new_other_or_gone() -> None:
    before = StatusView(status(execution(3), execution(4), finished=(over(1), over(2))))
    after = status(
        execution(3), execution(4, rss=2000), execution(5), finished=(over(2),), in_use=3
    )
    name, shown = document(StatusView(after, before).change)
    assert name == "change"
    assert set(shown["status"]["executions"]) == {"4", "5"}
    assert shown["gone"] == [1]
    assert shown["status"]["permits"]["in_use"] == 3


def test_a_run_that_ends_is_changed_and_not_gone() -> None:
    before = StatusView(status(execution(3)))
    shown = document(StatusView(status(finished=(over(3),)), before).change)[1]
    assert shown["status"]["executions"]["3"]["state"] == "finished"
    assert shown["gone"] == []


def test_what_looks_the_same_is_no_change() -> None:
    before = StatusView(status(execution(3), finished=(over(1),)))
    assert StatusView(status(execution(3), finished=(over(1),), revision=2), before).change == b""
    assert StatusView(status(execution(3), finished=(over(1),), in_use=1), before).change


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    subscriber = Subscriber(None)
    yield subscriber
    subscriber.close()


def test_who_is_slow_gets_the_newest_whole(subscriber: Subscriber) -> None:
    views = [StatusView(status())]
    for in_use in range(1, 5):
        views.append(StatusView(status(in_use=in_use), views[-1]))
    subscriber.show(views[0])
    assert subscriber.next() == views[0].whole
    subscriber.show(views[1])
    assert subscriber.next() == views[1].change
    subscriber.show(views[2])
    subscriber.show(views[3])
    assert subscriber.next() == views[3].whole
    subscriber.show(views[4])
    assert subscriber.next() == views[4].change


def test_who_comes_late_gets_a_whole_one_first(subscriber: Subscriber) -> None:
    first = StatusView(status())
    subscriber.show(StatusView(status(in_use=1), first))
    assert document(subscriber.next() or b"")[0] == "status"


def test_silence_is_broken_by_a_comment(
    subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genvm_manager.manager.api.events.subscriber.HEARTBEAT", 0.01)
    assert subscriber.next() == b":\n\n"


def test_the_end_is_told_with_its_reason(subscriber: Subscriber) -> None:
    subscriber.show(StatusView(status()))
    subscriber.end(Unavailable("gone"))
    with pytest.raises(Unavailable, match="gone"):
        subscriber.next()


def test_a_client_that_hangs_up_is_noticed_at_once() -> None:
    ours, theirs = socket.socketpair()
    subscriber = Subscriber(ours)
    theirs.close()
    assert subscriber.next() is None
    subscriber.close()
    ours.close()
