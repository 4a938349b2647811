"""`/events`: the status as it changes, for pages that stay open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

from flask import Response

from genvm_manager.base.errors import ManagerError
from genvm_manager.manager.api.declaration.content import Plain
from genvm_manager.manager.api.declaration.errors import UNAVAILABLE, busy
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.events.broadcaster import OVER
from genvm_manager.manager.api.events.subscriber import STREAM_PATH, Subscriber
from genvm_manager.manager.api.limits.transfers import current_caller
from genvm_manager.manager.api.sources import Sources

from .status import EXAMPLE_STATUS, EXAMPLE_TIME

_HEADERS = {
    "Cache-Control": "no-store, no-transform",
    # nginx would otherwise hold events back until its buffer is full.
    "X-Accel-Buffering": "no",
}
"""For proxies: they must not store, change or delay any part of a stream."""

_EXAMPLE = f"""\
event: status
data: {json.dumps({"at": EXAMPLE_TIME, "status": EXAMPLE_STATUS, "gone": []})}

"""


def events(sources: Sources) -> Response:
    """Return a stream of server-sent events; it holds a place of the limit on subscribers."""
    with ExitStack() as stack:
        stack.enter_context(sources.limits.subscribers.place())
        subscriber = stack.enter_context(sources.feed.subscriber(current_caller()))
        first = subscriber.next()
        if sources.feed.is_over:
            subscriber.end(OVER)
        response = Response(
            _stream(first, subscriber), content_type="text/event-stream", headers=_HEADERS
        )
        response.call_on_close(stack.pop_all().close)
    return response


def _stream(first: bytes | None, subscriber: Subscriber) -> Iterator[bytes]:
    """Yield events until the client, the supervisor or this worker ends."""
    event = first
    while event is not None:
        yield event
        try:
            event = subscriber.next()
        except ManagerError:
            return


OPERATIONS = (
    Operation(
        "GET",
        STREAM_PATH,
        "Status",
        "Follow the status as it changes",
        events,
        Plain("text/event-stream", "Server-sent events.", _EXAMPLE),
        "The first event is `status`: `at` is the service's clock, and `status` the reply of "
        "`GET /status`. A `change` event has the same form, with only those executions that are "
        "new or changed; `gone` lists the ids that are no longer shown. At most four events come "
        "in a second. Another `status` event comes when the client was too slow for all changes, "
        "and a comment after 15 s without an event. The stream ends when the supervisor is lost "
        "or the service stops: connect again.",
        errors=(
            UNAVAILABLE,
            busy(
                "Too many streams are open.",
                "32 requests follow the status here already; try again later",
            ),
        ),
    ),
)
