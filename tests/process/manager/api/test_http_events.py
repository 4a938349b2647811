"""`GET /events`: what changes is told, once for all who follow, and nobody else pays for them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import psutil
import pytest

from genvm_manager.manager.api.limits.concurrency import SUBSCRIBERS
from genvm_manager.supervisor.telemetry.version import PERIOD
from tests.support.event_stream import EventStream, event_stream
from tests.support.service import RunningService
from tests.support.waiting import TIMEOUT, wait_until

CONFIG = "http_workers: 1, http_threads: 8, permits: {total: 8}, execution_retention: 2s"


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config=f"{{{CONFIG}}}") as running:
        yield running


@pytest.fixture
def streams() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def follow(service: RunningService, streams: ExitStack) -> EventStream:
    stream = streams.enter_context(event_stream(service.url))
    stream.read()
    assert stream.names == ["status"]
    return stream


def state_of(genvm_id: int, view: dict[str, Any]) -> str | None:
    entry = view["executions"].get(str(genvm_id))
    return None if entry is None else str(entry["state"])


def subscriptions(service: RunningService) -> int:
    """Connections that the only worker has to the supervisor, busy or kept."""
    (worker,) = service.half("http").children()
    return len(worker.net_connections("unix"))


def set_permits(service: RunningService, total: int) -> None:
    assert service.http.post("/permits", json={"permits": total}).is_success


def test_a_run_is_seen_from_its_start_until_it_is_forgotten(
    service: RunningService, streams: ExitStack
) -> None:
    stream = follow(service, streams)
    genvm_id = service.start_run({"sleep_ms": 600_000})
    stream.read_until(lambda view: state_of(genvm_id, view) == "running")
    entry = stream.read_until(lambda view: view["sampled_at"] and view["executions"])
    assert entry[str(genvm_id)]["pid"]
    stream.read_until(lambda view: view["executions"][str(genvm_id)]["rss_bytes"])
    assert stream.view["permits"]["in_use"] == 1
    service.client.cancel(genvm_id, grace_ms=0)
    stream.read_until(lambda view: state_of(genvm_id, view) == "finished")
    stream.read_until(lambda view: view["permits"]["in_use"] == 0)
    stream.read_until(lambda view: state_of(genvm_id, view) is None)
    assert set(stream.names[1:]) == {"change"}
    assert stream.view == service.http.get("/status").json()


def test_what_has_not_changed_is_not_told_again(
    service: RunningService, streams: ExitStack
) -> None:
    stream = follow(service, streams)
    sleeper = service.start_run({"sleep_ms": 600_000})
    stream.read_until(lambda view: state_of(sleeper, view) == "running")
    stream.read_until(lambda view: view["executions"][str(sleeper)]["rss_bytes"])
    set_permits(service, 9)
    while (document := stream.read())["status"]["permits"]["max"] != 9:
        pass
    other = service.start_run({"sleep_ms": 600_000})
    document = stream.read()
    while str(other) not in document["status"]["executions"]:
        document = stream.read()
    assert str(sleeper) not in document["status"]["executions"]
    for genvm_id in (sleeper, other):
        service.client.cancel(genvm_id, grace_ms=0)
    set_permits(service, 8)


def test_a_stream_asks_whatever_stands_in_between_to_hand_it_on_at_once(
    service: RunningService,
) -> None:
    with service.http.stream("GET", "/events") as response:
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.headers["Cache-Control"] == "no-store, no-transform"


def test_many_changes_are_told_together(service: RunningService, streams: ExitStack) -> None:
    stream = follow(service, streams)
    changes = 0
    begin = time.monotonic()
    while changes <= 40 or time.monotonic() - begin < 2:
        set_permits(service, 20 + changes % 100)
        changes += 1
    set_permits(service, 7)
    stream.read_until(lambda view: view["permits"]["max"] == 7)
    took = stream.ats[-1] - begin
    assert len(stream.names) - 1 <= took / PERIOD + 2
    set_permits(service, 8)


def test_ten_who_follow_are_one_subscription(service: RunningService, streams: ExitStack) -> None:
    follow(service, streams)
    before = subscriptions(service)
    others = [follow(service, streams) for _ in range(9)]
    assert subscriptions(service) == before
    set_permits(service, 9)
    for stream in others:
        stream.read_until(lambda view: view["permits"]["max"] == 9)
        assert stream.names[1:] == ["change"] * len(stream.names[1:])
    set_permits(service, 8)


def test_open_pages_take_no_places_of_nodes(service: RunningService, streams: ExitStack) -> None:
    genvm_id = service.start_run({"sleep_ms": 600_000})
    for _ in range(SUBSCRIBERS):
        follow(service, streams)
    refused = service.http.get("/events")
    assert refused.status_code == 503
    assert refused.json() == {
        "error": f"{SUBSCRIBERS} requests follow the status here already; try again later"
    }
    assert int(refused.headers["Retry-After"]) >= 1
    assert service.http.get(f"/genvm/{genvm_id}?wait=100ms").is_success
    service.client.cancel(genvm_id, grace_ms=0)
    streams.close()
    wait_until(lambda: is_followed(service))


def is_followed(service: RunningService) -> bool:
    try:
        with event_stream(service.url) as stream:
            stream.read()
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 503
        return False
    return True


def test_a_lost_supervisor_ends_the_stream_and_the_next_one_begins_anew(
    service: RunningService, streams: ExitStack
) -> None:
    stream = follow(service, streams)
    set_permits(service, 30)
    stream.read_until(lambda view: view["permits"]["max"] == 30)
    with service.without_supervisor():
        stream.drain()
        refused = service.http.get("/events")
        assert refused.status_code == 503
        assert "the supervisor cannot be reached" in refused.json()["error"]
    again = follow(service, streams)
    assert again.view["permits"]["max"] == 30
    set_permits(service, 8)


def test_a_stop_ends_the_stream_and_not_the_other_way_round() -> None:
    with RunningService(config=f"{{{CONFIG}}}") as service, ExitStack() as streams:
        following = [follow(service, streams) for _ in range(3)]
        assert service.stop(signal.SIGTERM) == 0
        for stream in following:
            stream.drain()


def test_a_worker_that_is_told_to_stop_ends_its_streams_and_another_goes_on(
    service: RunningService, streams: ExitStack
) -> None:
    stream = follow(service, streams)
    (worker,) = service.half("http").children()
    worker.terminate()
    stream.drain()
    assert not psutil.wait_procs([worker], timeout=TIMEOUT)[1]
    assert follow(service, streams).view["accepting"] is True


def test_a_reload_ends_the_streams_and_who_comes_again_finds_the_next_worker(
    service: RunningService, streams: ExitStack
) -> None:
    stream = follow(service, streams)
    assert stream.is_last
    with httpx.Client(base_url=service.url, verify=False, timeout=TIMEOUT) as kept:
        assert kept.get("/status").is_success
        service.half("http").send_signal(signal.SIGHUP)
        stream.drain()
        # The connection is kept by the worker that retires: one whole view, and then its end.
        last = kept.get("/events")
        assert last.is_success
        assert last.content.count(b"event: ") == last.content.count(b"event: status") == 1
    assert follow(service, streams).view["accepting"] is True
