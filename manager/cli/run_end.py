"""Waits for the end of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from genvm_manager.base.errors import Unavailable
from genvm_manager.base.text.printable import printable
from genvm_manager.manager.cli.rendering.formatting import span
from genvm_manager.manager.cli.rendering.progress import Progress
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.protocol.http_api import FinishedRunReply
from genvm_manager.protocol.ipc.runs import Artifact, Exit, RunState
from genvm_manager.protocol.run_end import describe_run_end

T = TypeVar("T")

RESTART_TIMEOUT = 30.0
"""Seconds for which a service that has answered before may be away."""

_ONE_WAIT = 20.0


def state_of(client: HttpClient, run_id: int) -> RunState:
    """Return the state of a run. Raises `RunNotFound`."""
    return client.read_artifact(run_id, Artifact.STDOUT, max_len=0).state


def across_restarts(ask: Callable[[], T]) -> T:
    """Call `ask` and return its result; repeat it while the service restarts.

    Raises what `ask` raises.
    """
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
    """Wait for a run's end and return it, or None after so many seconds.

    Raises what the client raises, also `RunNotFound` for an unknown run.
    """
    latest = time.monotonic() + within
    state = state_of(client, run_id)
    with Progress("") as progress:
        while True:
            progress.text = f"waiting for run {run_id}, which is {state}"
            left = max(0.0, latest - time.monotonic())
            wait = min(left, _ONE_WAIT)
            ask = partial(client.get_run, run_id, wait, has_outputs=has_outputs)
            run = across_restarts(ask).status
            if run is not None or left <= _ONE_WAIT:
                return run
            state = across_restarts(lambda: state_of(client, run_id))


def describe_end(run: FinishedRunReply) -> str:
    """Return how a run ended: `exited with code 0 after 1.2s`."""
    return describe_run_end(
        run.cause,
        Exit(run.exit_code, run.signal),
        after=None if run.wall_ms is None else span(run.wall_ms / 1000),
        reason=printable(run.reason) if run.reason else None,
    )
