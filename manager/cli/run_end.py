"""Waiting for the end of a run, and telling how it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from signal import Signals
from typing import TypeVar

from genvm_manager.base.errors import Unavailable
from genvm_manager.base.text.printable import printable
from genvm_manager.manager.cli.rendering.formatting import span
from genvm_manager.manager.cli.rendering.progress import Progress
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.protocol.http_api import FinishedRunReply
from genvm_manager.protocol.ipc.runs import Artifact, RunState

T = TypeVar("T")

RESTART_TIMEOUT = 30.0
"""Seconds for which a service that was there may be away."""

_ONE_WAIT = 20.0


def state_of(client: HttpClient, run_id: int) -> RunState:
    """Raises `RunNotFound`."""
    return client.read_artifact(run_id, Artifact.STDOUT, max_len=0).state


def bearing_restarts(ask: Callable[[], T]) -> T:
    """What `ask` gives, or raises; it is asked again while the service is away for a moment."""
    latest = time.monotonic() + RESTART_TIMEOUT
    while True:
        try:
            return ask()
        except Unavailable as error:
            if time.monotonic() + error.retry_after > latest:
                raise
            time.sleep(error.retry_after)


def await_end(
    client: HttpClient, run_id: int, within: float = math.inf, *, has_outputs: bool = True
) -> FinishedRunReply | None:
    """The end of a run; None when it does not come within so many seconds.

    Raises what the client raises, `RunNotFound` for an unknown run too.
    """
    latest = time.monotonic() + within
    state = state_of(client, run_id)
    with Progress("") as progress:
        while True:
            progress.text = f"waiting for run {run_id}, which is {state}"
            left = max(0.0, latest - time.monotonic())
            wait = min(left, _ONE_WAIT)
            ask = partial(client.get_run, run_id, wait, has_outputs=has_outputs)
            run = bearing_restarts(ask).status
            if run is not None or left <= _ONE_WAIT:
                return run
            state = bearing_restarts(lambda: state_of(client, run_id))


def how_it_ended(run: FinishedRunReply) -> str:
    """`exited with code 0 after 1.2s`."""
    words = str(run.cause)
    if run.exit_code is not None:
        words += f" with code {run.exit_code}"
    if run.signal is not None:
        words += f" by {_signal_name(run.signal)}"
    if run.wall_ms is not None:
        words += f" after {span(run.wall_ms / 1000)}"
    return f"{words}: {printable(run.reason)}" if run.reason else words


def _signal_name(number: int) -> str:
    names = {int(known): known.name for known in Signals}
    return names.get(number, f"signal {number}")
