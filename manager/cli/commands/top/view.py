"""The screen of `top`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genvm_manager.base.errors import ManagerError
from genvm_manager.manager.cli.commands.status import status_lines
from genvm_manager.manager.cli.rendering.formatting import NONE
from genvm_manager.manager.cli.rendering.run_table import COLUMNS, has_ended, in_order, row
from genvm_manager.manager.cli.rendering.tables import Column, Row, table
from genvm_manager.manager.client.client import HttpClient, TokenRefused
from genvm_manager.protocol.http_api import ExecutionReply, StatusReply

from .cpu_usage import CpuUsage

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_USAGE = Column("CPU%", "right")


@dataclass
class View:
    """What is on the screen. `trouble`: why it is not current, or why the service takes no runs."""

    url: str
    status: StatusReply
    trouble: str | None = None
    _usage: CpuUsage = field(default_factory=CpuUsage)
    _updated_at: float = field(default_factory=time.monotonic)

    def update(self, client: HttpClient) -> None:
        """Read the status again; keep the last one while the service is away.

        Raises `TokenRefused`.
        """
        try:
            self.trouble = client.refusal()
            self.status = client.status()
            self._updated_at = time.monotonic()
        except TokenRefused:
            raise
        except ManagerError as error:
            self.trouble = error.message

    def screen(self, console: Console) -> RenderableType:
        """Return everything to show, no higher than the terminal."""
        from rich.console import Group  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        head = [Text.from_ansi(line) for line in status_lines(self.url, self.trouble, self.status)]
        head.append(Text())
        rows = self._rows()
        room = max(1, console.height - len(head) - 1)
        runs = table([*COLUMNS[:4], _USAGE, *COLUMNS[4:]], rows[:room])
        return Group(*head, runs)

    def _rows(self) -> list[Row]:
        runs = in_order(self.status.executions)
        under_way = [(run_id, run) for run_id, run in runs if not has_ended(run)]
        ended = [(run_id, run) for run_id, run in runs if has_ended(run)]
        usage = {run_id: self._usage_of(run_id, run) for run_id, run in under_way}
        self._usage.keep(set(usage))
        under_way.sort(key=lambda each: -(usage[each[0]] or 0.0))
        return [
            _with_usage(row(run_id, run), usage.get(run_id))
            for run_id, run in under_way + ended[::-1]
        ]

    def _usage_of(self, run_id: int, run: ExecutionReply) -> float | None:
        if run.cpu_seconds is None:
            return None
        return self._usage.add(run_id, self._updated_at, run.cpu_seconds)


def _with_usage(cells: Row, usage: float | None) -> Row:
    shown = NONE if usage is None else f"{usage * 100:.0f}"
    return [*cells[:4], shown, *cells[4:]]
