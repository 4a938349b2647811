"""The command `genvm-manager log-level`."""

from __future__ import annotations

from typing import Any, get_args

import click

from genvm_manager.base.logging.lines import Level
from genvm_manager.manager.cli.exit_codes import Command, exit_codes
from genvm_manager.manager.cli.options.service import ServiceOptions, service_options
from genvm_manager.manager.cli.rendering.formatting import json_text
from genvm_manager.manager.cli.service_connection import connected
from genvm_manager.protocol.http_api import LogLevelSet


@click.command("log-level", cls=Command, epilog=exit_codes({0: "done"}))
@click.argument("level", type=click.Choice(get_args(Level)))
@service_options()
def command(level: Level, **given: Any) -> None:
    """Set the log level of every process of the service to LEVEL.

    It holds until the supervisor is started again; set it permanently by `log_level` in the
    settings.
    """
    options = ServiceOptions(**given)
    with connected(options) as client:
        client.set_log_level(level)
    if options.as_json:
        click.echo(json_text(LogLevelSet(level)))
    else:
        click.echo(f"log level is now {level}")
