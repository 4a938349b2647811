"""The command `genvm-manager ps`."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from genvm_manager.manager.cli.exit_codes import Command, exit_codes
from genvm_manager.manager.cli.options.service import ServiceOptions, service_options
from genvm_manager.manager.cli.rendering.formatting import count, dim, json_text
from genvm_manager.manager.cli.rendering.run_table import COLUMNS, has_ended, in_order, row
from genvm_manager.manager.cli.rendering.tables import show_table
from genvm_manager.manager.cli.service_connection import connected


@click.command("ps", cls=Command, epilog=exit_codes({0: "done"}))
@click.option("-a", "--all", "shows_all", is_flag=True, help="List finished runs too.")
@service_options()
def command(shows_all: bool, **given: Any) -> None:
    """List the runs that are under way.

    AGE counts from the acceptance of the run, TIME from its start; CPU and MEMORY are measured once
    a second. CAUSE tells why it ended, or is being ended: exited, cancelled, deadline, memory,
    shutdown or lost. Of finished runs, only the newest hundred are listed.

    --json prints a list, with the fields of GET /status and `id`.
    """
    options = ServiceOptions(**given)
    with connected(options) as client:
        status = client.status()
    runs = in_order(status.executions)
    shown = [(run_id, run) for run_id, run in runs if shows_all or not has_ended(run)]
    if options.as_json:
        as_json = [{"id": run_id, **msgspec.to_builtins(run)} for run_id, run in shown]
        click.echo(json_text(as_json))
        return
    show_table(COLUMNS, (row(run_id, run) for run_id, run in shown))
    omitted = len(runs) - len(shown) + status.executions_omitted
    if omitted and sys.stdout.isatty():
        what = "not listed" if shows_all else "hidden (--all)"
        click.echo(dim(f"{count(omitted, 'finished run')} {what}"))
