"""`gl.trace` and `gl.trace_time_micro`: notes for the node's log.

Source: docs/spec/07-python-sdk.md#14-tracing.
"""

from __future__ import annotations

from ..py.calldata import decode
from .wire import call_host


def trace(*objects: object, sep: str = " ") -> None:
    """Write to the executor's log; unlike `print`, in order with what the machine logs."""
    call_host({"Trace": {"Message": sep.join(map(str, objects))}})


def trace_time_micro() -> int:
    """Return the microseconds of run time so far; 0 outside nondet blocks, which have no clock."""
    return decode(call_host({"Trace": {"RuntimeMicroSec": None}}))
