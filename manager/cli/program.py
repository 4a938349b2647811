"""What a program does before and after each command: signals, streams, printable errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from genvm_manager.base.process.exhaustion import is_exhaustion
from genvm_manager.base.process.signals import settle_signals
from genvm_manager.base.text.printable import printable_lines

from .exit_codes import EX_USAGE, TRY_AGAIN, fail, shortage
from .streams import settled_streams


class Program(click.Group):
    """The group of a program's commands; it sets signals and streams up first."""

    def main(self, *arguments: Any, **named: Any) -> Any:
        """Run the program, and exit with a sentence if the system lacks a resource."""
        settle_signals()
        with settled_streams():
            _require_text(sys.argv[1:])
            try:
                return super().main(*arguments, **named)
            except OSError as error:
                if not is_exhaustion(error):
                    raise
                fail(shortage(error), TRY_AGAIN, as_json=False)

    def make_context(self, *arguments: Any, **named: Any) -> click.Context:
        """Parse the arguments; errors show them escaped."""
        with _printable_errors():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors show arguments escaped."""
        with _printable_errors():
            return super().invoke(ctx)


@contextmanager
def _printable_errors() -> Iterator[None]:
    """Escape what was typed in errors, as all foreign texts are escaped."""
    try:
        yield
    except click.ClickException as error:
        # Typed as final, but click reads it again whenever it shows the error.
        error.message = printable_lines(error.message)  # type: ignore[misc]
        raise


def _require_text(arguments: Sequence[str]) -> None:
    """Exit when an argument is not UTF-8: some libraries fail on it when they are imported."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(argument)
            click.echo(
                f"Error: the argument {shown!r} is not UTF-8; rename what it names", err=True
            )
            sys.exit(EX_USAGE)
