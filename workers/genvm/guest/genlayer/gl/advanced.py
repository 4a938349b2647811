"""`gl.advanced`: what few contracts need."""

from __future__ import annotations

from .._machine.wire import UserError, call_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("emit_raw_event", "user_error_immediate")


def user_error_immediate(reason: Any) -> None:
    """End the run with a user error at once; cheaper than raising it, and nothing can catch it."""
    UserError.immediate(reason)


def emit_raw_event(topics: list[bytes], blob: dict[str, Any]) -> None:
    """Emit an event: up to 4 topics of 32 bytes, by which it can be found, and any data.

    Raises `SystemError` `2: inval` for other topics.
    """
    call_host({"EmitEvent": {"topics": topics, "blob": blob}})
