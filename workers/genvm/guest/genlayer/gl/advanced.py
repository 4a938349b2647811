"""`gl.advanced`: what few contracts need."""

from __future__ import annotations

from .._machine.wire import UserError, call_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_TOPICS = 4
TOPIC_SIZE = 32


def user_error_immediate(reason: Any) -> None:
    """End the run with a user error at once; cheaper than raising it, and nothing can catch it."""
    UserError.immediate(reason)


def emit_raw_event(topics: list[bytes], blob: dict[str, Any]) -> None:
    """Emit an event: up to 4 topics of 32 bytes, by which it can be found, and any data."""
    if isinstance(topics, (str, bytes)) or len(topics) > MAX_TOPICS:
        raise ValueError(f"an event has a list of at most {MAX_TOPICS} topics")
    for topic in topics:
        if len(topic) != TOPIC_SIZE:
            raise ValueError(f"a topic has {TOPIC_SIZE} bytes, got {len(topic)}")
    call_host({"EmitEvent": {"topics": [bytes(topic) for topic in topics], "blob": blob}})


def trace(*values: Any) -> None:
    """Write to the executor's log; unlike `print`, in order with what the machine logs."""
    call_host({"Trace": {"Message": " ".join(map(str, values))}})


def trace_time_micro() -> int:
    """Return microseconds of run time so far; 0 outside nondet blocks, where there is no clock."""
    from ..py.calldata import decode

    return decode(call_host({"Trace": "RuntimeMicroSec"}) or b"\1")
