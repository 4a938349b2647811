"""The command `genvm-manager permits`."""

from __future__ import annotations

from typing import Any

import click

from genvm_manager.manager.cli.exit_codes import Command, exit_codes
from genvm_manager.manager.cli.options.parameters import NumberType
from genvm_manager.manager.cli.options.service import ServiceOptions, service_options
from genvm_manager.manager.cli.rendering.formatting import count, json_text
from genvm_manager.manager.cli.service_connection import connected

MAX_PERMITS = 1_000_000


@click.command("permits", cls=Command, epilog=exit_codes({0: "done"}))
@click.argument("total", metavar="[N]", type=NumberType(1, MAX_PERMITS), required=False)
@service_options()
def command(total: int | None, **given: Any) -> None:
    """Show the number of permits, or set it to N.

    Permits limit how many runs are under way at once. After N was lowered, runs under way keep
    their permits and new ones wait. N holds until the supervisor is started again; set it
    permanently by `permits.total` in the settings.

    --json prints the answer of GET /permits.
    """
    options = ServiceOptions(**given)
    with connected(options) as client:
        if total is not None:
            client.set_permits(total)
        permits = client.permits()
    if options.as_json:
        click.echo(json_text(permits))
        return
    waiting = f"{count(permits.queued, 'run')} {'waits' if permits.queued == 1 else 'wait'}"
    click.echo(
        f"{permits.permits} of {permits.max} permits are free, {permits.in_use} in use; {waiting}"
    )
