"""What a program does before and after each of its commands."""

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
    """The group of commands that a program is, whose signals and streams are in order."""

    def main(self, *arguments: Any, **named: Any) -> Any:
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
        with _printable_errors():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: click.Context) -> Any:
        with _printable_errors():
            return super().invoke(ctx)


@contextmanager
def _printable_errors() -> Iterator[None]:
    """Have what was typed stand in errors with its escapes, as all texts of others do."""
    try:
        yield
    except click.ClickException as error:
        # Its type says that it is final; all that shows an error reads it anew.
        error.message = printable_lines(error.message)  # type: ignore[misc]
        raise


def _require_text(words: Sequence[str]) -> None:
    """End when an argument is no text: libraries fail on it as soon as they are imported."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(word)
            click.echo(
                f"Error: the argument {shown!r} is not UTF-8; rename what it names", err=True
            )
            sys.exit(EX_USAGE)
