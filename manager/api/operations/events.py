"""`/events`: the status as it changes, for pages that stay open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from flask import Blueprint, Response

from genvm_manager.base.errors import ManagerError
from genvm_manager.manager.api.events.broadcaster import OVER, StatusBroadcaster
from genvm_manager.manager.api.events.subscriber import STREAM_PATH, Subscriber
from genvm_manager.manager.api.limits.concurrency import ConcurrencyLimiter
from genvm_manager.manager.api.limits.transfers import current_caller

_HEADERS = {
    "Cache-Control": "no-store, no-transform",
    # nginx would keep events back until there are enough of them.
    "X-Accel-Buffering": "no",
}
"""For whatever stands in between: nothing of a stream is to be kept, changed or kept back."""


def routes(feed: StatusBroadcaster, subscribers: ConcurrencyLimiter) -> Blueprint:
    """`GET /events`, server-sent events; each stream holds a place among the `followers`."""
    blueprint = Blueprint("events", __name__)

    @blueprint.get(STREAM_PATH)
    def events() -> Response:
        with ExitStack() as stack:
            stack.enter_context(subscribers.place())
            subscriber = stack.enter_context(feed.subscriber(current_caller()))
            first = subscriber.next()
            if feed.is_over:
                subscriber.end(OVER)
            response = Response(
                _stream(first, subscriber), content_type="text/event-stream", headers=_HEADERS
            )
            response.call_on_close(stack.pop_all().close)
        return response

    return blueprint


def _stream(first: bytes | None, subscriber: Subscriber) -> Iterator[bytes]:
    """Ends when the client, the supervisor or this worker does; the client may come again."""
    event = first
    while event is not None:
        yield event
        try:
            event = subscriber.next()
        except ManagerError:
            return
