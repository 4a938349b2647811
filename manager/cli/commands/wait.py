"""The command `genvm-manager wait`."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import click

from genvm_manager.base.text.durations import parse_duration
from genvm_manager.manager.cli.exit_codes import OUT_OF_TIME, UNKNOWN_RUN, Command, exit_codes, fail
from genvm_manager.manager.cli.options.parameters import DurationType
from genvm_manager.manager.cli.options.run_ids import RunIdType
from genvm_manager.manager.cli.options.service import ServiceOptions, service_options
from genvm_manager.manager.cli.rendering.render import EXIT_CODES, ending_as_json, ending_as_text
from genvm_manager.manager.cli.run_end import await_end
from genvm_manager.manager.cli.service_connection import connected
from genvm_manager.manager.local_node.execution import ending_of

_EXIT_CODES = exit_codes(
    {
        0: "the contract returned",
        1: "it ended with a user error",
        2: "it ended with a VM error (a trap, an exit code, out of memory or time)",
        3: "internal error: the run has no result (cancelled, lost, …)",
        OUT_OF_TIME: "it has not ended within --timeout",
        **UNKNOWN_RUN,
    }
)


@click.command("wait", cls=Command, epilog=_EXIT_CODES)
@click.argument("run_id", metavar="ID", type=RunIdType())
@click.option("--timeout", type=DurationType(), help="Wait no longer than 500ms, 30s, 5m.")
@service_options()
def command(run_id: int, timeout: str | None, **given: Any) -> None:
    """Wait for the end of the run ID, and show its result as `genvm-manager run` does.

    Survives a restart of the service. Ctrl-C ends the waiting, not the run.
    """
    options = ServiceOptions(**given)
    with connected(options) as client:
        run = await_end(client, run_id, parse_duration(timeout) if timeout else math.inf)
    if run is None:
        fail(f"run {run_id} has not ended within {timeout}", OUT_OF_TIME, options.as_json)
    ending = ending_of(run_id, run.version_major or 0, run)
    if options.as_json:
        own = {"cause": run.cause, "exit_code": run.exit_code, "signal": run.signal}
        click.echo(json.dumps(ending_as_json(ending) | own))
    else:
        click.echo(ending_as_text(ending))
    sys.exit(EXIT_CODES[ending.code])
