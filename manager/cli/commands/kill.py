"""The command `genvm-manager kill`."""

from __future__ import annotations

from typing import Any

import click

from genvm_manager.base.text.durations import parse_duration
from genvm_manager.manager.cli.exit_codes import UNKNOWN_RUN, Command, exit_codes
from genvm_manager.manager.cli.options.parameters import DurationType
from genvm_manager.manager.cli.options.run_ids import RunIdType
from genvm_manager.manager.cli.options.service import ServiceOptions, service_options
from genvm_manager.manager.cli.rendering.formatting import json_text
from genvm_manager.manager.cli.rendering.progress import Progress
from genvm_manager.manager.cli.run_end import await_end, describe_end, state_of
from genvm_manager.manager.cli.service_connection import connected
from genvm_manager.protocol.ipc.runs import RunState

MAX_GRACE = 3600.0

_EXIT_CODES = exit_codes(
    {0: "the run has ended, now or earlier", 1: "it could not be ended", **UNKNOWN_RUN}
)


class GraceType(DurationType):
    """A duration in whole milliseconds, up to `MAX_GRACE` seconds."""

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the text of a duration that is not too long."""
        text = super().convert(value, param, ctx)
        if parse_duration(text) > MAX_GRACE:
            self.fail(f"at most {MAX_GRACE:.0f}s, got {text}", param, ctx)
        return text


@click.command("kill", cls=Command, epilog=_EXIT_CODES)
@click.argument("run_id", metavar="ID", type=RunIdType())
@click.option(
    "--grace",
    type=GraceType(),
    default="30s",
    show_default=True,
    help="Time between SIGTERM and SIGKILL; 0s kills at once.",
)
@service_options()
def command(run_id: int, grace: str, **given: Any) -> None:
    """End the run ID, wait for its end, and show how it ended.

    Its cause is `cancelled`, unless it ends by itself first. A run that waits for permits is
    removed from the queue.
    """
    options = ServiceOptions(**given)
    with connected(options) as client:
        was = state_of(client, run_id)
        with Progress(f"ending run {run_id}"):
            client.cancel(run_id, round(parse_duration(grace) * 1000))
        run = await_end(client, run_id, has_outputs=False)
    assert run is not None
    if options.as_json:
        shown = {"genvm_id": run_id, "was": was, "cause": run.cause, "reason": run.reason}
        shown |= {"exit_code": run.exit_code, "signal": run.signal, "wall_ms": run.wall_ms}
        click.echo(json_text(shown))
    elif was is RunState.FINISHED:
        click.echo(f"run {run_id} had already ended: {describe_end(run)}")
    else:
        click.echo(f"run {run_id} ended: {describe_end(run)}")
