"""`genvm-manager permits`."""

from __future__ import annotations

from typing import Any

import click

from genvm_manager.manager.cli.exit_codes import Command, exit_codes
from genvm_manager.manager.cli.options.parameters import NumberType
from genvm_manager.manager.cli.options.service import ServiceOptions, asking, service_options
from genvm_manager.manager.cli.rendering.formatting import count, json_text

MAX_PERMITS = 1_000_000


@click.command("permits", cls=Command, epilog=exit_codes({0: "done"}))
@click.argument("total", metavar="[N]", type=NumberType(1, MAX_PERMITS), required=False)
@service_options()
def command(total: int | None, **given: Any) -> None:
    """Show how many permits there are, or have N of them from now on.

    They bound how many runs there are at once. When there are fewer, runs under way keep theirs,
    and new ones wait. It holds until the supervisor starts again; `permits.total` of the settings
    holds for good.

    --json prints what GET /permits answers.
    """
    options = ServiceOptions(**given)
    with asking(options) as client:
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
