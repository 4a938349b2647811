"""Tables for people: aligned columns, as wide as the terminal, or as needed in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import click

from genvm_manager.base.text.printable import printable

if TYPE_CHECKING:
    from rich.table import Table

_PIPE_WIDTH = 10_000
"""Columns when the output is not a terminal: nothing is cut for a program."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `folds`: a long cell continues on the next line; otherwise it is cut."""

    name: str
    justify: Literal["left", "right"] = "left"
    folds: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A text with a style of rich."""

    text: str
    style: str


Row = Sequence[str | Cell]


def show_table(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Print a table; with colours on a terminal only."""
    from rich.console import Console  # noqa: PLC0415 - imported only for tables

    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    with console.capture() as shown:
        console.print(table(columns, rows))
    for line in shown.get().splitlines():
        click.echo(line.rstrip())


def table(columns: Sequence[Column], rows: Iterable[Row]) -> Table:
    """Return the table for rich's own displays."""
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(
            column.name,
            justify=column.justify,
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
        )
    for row in rows:
        cells = (cell if isinstance(cell, Cell) else Cell(cell, "") for cell in row)
        made.add_row(*(Text(printable(cell.text), cell.style) for cell in cells))
    return made
