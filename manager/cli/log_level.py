"""`genvm-manager log-level`."""

from __future__ import annotations

from typing import Any, get_args

import click

from manager.replies import LogLevelSet
from protocol.log_lines import Level

from .ending import Command, exit_codes
from .service_options import ServiceOptions, asking, service_options
from .words import json_text


@click.command("log-level", cls=Command, epilog=exit_codes({0: "done"}))
@click.argument("level", type=click.Choice(get_args(Level)))
@service_options()
def command(level: Level, **given: Any) -> None:
    """Have every process of the service log from LEVEL on.

    It holds until the supervisor starts again; `log_level` of the settings holds for good.
    """
    options = ServiceOptions(**given)
    with asking(options) as client:
        client.set_log_level(level)
    if options.as_json:
        click.echo(json_text(LogLevelSet(level)))
    else:
        click.echo(f"every process logs from {level} on")
