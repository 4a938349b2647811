"""The command `genvm-manager top`."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from genvm_manager.base.text.durations import parse_duration
from genvm_manager.manager.cli.exit_codes import Command, InvalidUsage, exit_codes
from genvm_manager.manager.cli.options.parameters import DurationType
from genvm_manager.manager.cli.options.service import ServiceOptions, service_options
from genvm_manager.manager.cli.rendering.formatting import json_text
from genvm_manager.manager.cli.service_connection import connected
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.protocol.http_api import StatusReply

from .keyboard import END, keyboard
from .view import View

MIN_INTERVAL = 0.1
_QUIT = ("q", "Q", END)


@click.command("top", cls=Command, epilog=exit_codes({0: "you have quit it"}))
@click.option(
    "--interval", type=DurationType(), default="2s", show_default=True, help="Time between updates."
)
@service_options()
def command(interval: str, **given: Any) -> None:
    """Watch modules, permits and runs; q or Ctrl-C quits.

    The busiest runs are listed first, then finished ones, the newest first. CPU% is the use of one
    processor over the last five seconds.

    --json needs no terminal: it prints the answer of GET /status again and again, a line each time.
    """
    options = ServiceOptions(**given)
    pause = max(MIN_INTERVAL, parse_duration(interval))
    if not options.as_json and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidUsage("top needs a terminal; use genvm-manager ps or top --json instead")
    with connected(options) as client:
        status = client.status()
        try:
            if options.as_json:
                _print(client, status, pause)
            else:
                _watch(client, status, pause)
        except KeyboardInterrupt:
            return


def _print(client: HttpClient, status: StatusReply, pause: float) -> None:
    while True:
        click.echo(json_text(status))
        time.sleep(pause)
        status = client.status()


def _watch(client: HttpClient, status: StatusReply, pause: float) -> None:
    from rich.console import Console  # noqa: PLC0415 - imported only for the live display
    from rich.live import Live  # noqa: PLC0415

    console = Console(highlight=False)
    view = View(client.url, status)
    with keyboard() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(view.screen(console), refresh=True)
            if keys.key(within=pause) in _QUIT:
                return
            view.update(client)
