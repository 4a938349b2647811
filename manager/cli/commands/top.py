"""`genvm-manager top`."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from genvm_manager.base.errors import ManagerError
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.manager.cli.exit_codes import Command, Misuse, exit_codes
from genvm_manager.manager.cli.options.parameters import DurationType
from genvm_manager.manager.cli.options.service import ServiceOptions, asking, service_options
from genvm_manager.manager.cli.rendering.cpu_share import CpuShares
from genvm_manager.manager.cli.rendering.formatting import NONE, json_text
from genvm_manager.manager.cli.rendering.run_table import COLUMNS, in_order, is_over, row
from genvm_manager.manager.cli.rendering.tables import Column, Row, table
from genvm_manager.manager.cli.terminal_keys import END, keyboard
from genvm_manager.manager.client.client import HttpClient, TokenRefused
from genvm_manager.protocol.http_api import ExecutionReply, StatusReply

from .status import status_lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

MIN_INTERVAL = 0.1
_QUIT = ("q", "Q", END)
_SHARE = Column("CPU%", "right")


@click.command("top", cls=Command, epilog=exit_codes({0: "you left it"}))
@click.option(
    "--interval", type=DurationType(), default="2s", show_default=True, help="Between two looks."
)
@service_options()
def command(interval: str, **given: Any) -> None:
    """Watch modules, permits and runs; q or Ctrl-C leaves.

    The busiest runs come first, then those that are over, the newest first. CPU% is of one
    processor, over the last five seconds.

    --json needs no terminal: it prints what GET /status answers, again and again, a line each time.
    """
    options = ServiceOptions(**given)
    pause = max(MIN_INTERVAL, parse_duration(interval))
    if not options.as_json and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Misuse("top needs a terminal; `genvm-manager ps` and `top --json` do not")
    with asking(options) as client:
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
    from rich.console import Console  # noqa: PLC0415 - for whoever watches
    from rich.live import Live  # noqa: PLC0415

    console = Console(highlight=False)
    view = View(client.url, status)
    with keyboard() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(view.screen(console), refresh=True)
            if keys.key(within=pause) in _QUIT:
                return
            view.look(client)


@dataclass
class View:
    """What is on the screen. `trouble`: why it is not newer, or why the service takes no runs."""

    url: str
    status: StatusReply
    trouble: str | None = None
    _shares: CpuShares = field(default_factory=CpuShares)
    _looked_at: float = field(default_factory=time.monotonic)

    def look(self, client: HttpClient) -> None:
        """Ask again; what was seen stays while the service is away. Raises `TokenRefused`."""
        try:
            self.trouble = client.refusal()
            self.status = client.status()
            self._looked_at = time.monotonic()
        except TokenRefused:
            raise
        except ManagerError as error:
            self.trouble = error.message

    def screen(self, console: Console) -> RenderableType:
        """All of it, no higher than the terminal."""
        from rich.console import Group  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        head = [Text.from_ansi(line) for line in status_lines(self.url, self.trouble, self.status)]
        head.append(Text())
        rows = self._rows()
        room = max(1, console.height - len(head) - 1)
        runs = table([*COLUMNS[:4], _SHARE, *COLUMNS[4:]], rows[:room])
        return Group(*head, runs)

    def _rows(self) -> list[Row]:
        runs = in_order(self.status.executions)
        under_way = [(run_id, run) for run_id, run in runs if not is_over(run)]
        over = [(run_id, run) for run_id, run in runs if is_over(run)]
        shares = {run_id: self._share(run_id, run) for run_id, run in under_way}
        self._shares.keep(set(shares))
        under_way.sort(key=lambda each: -(shares[each[0]] or 0.0))
        return [
            _with_share(row(run_id, run), shares.get(run_id))
            for run_id, run in under_way + over[::-1]
        ]

    def _share(self, run_id: int, run: ExecutionReply) -> float | None:
        if run.cpu_seconds is None:
            return None
        return self._shares.share(run_id, self._looked_at, run.cpu_seconds)


def _with_share(cells: Row, share: float | None) -> Row:
    shown = NONE if share is None else f"{share * 100:.0f}"
    return [*cells[:4], shown, *cells[4:]]
