"""What a program does before and after each of its commands."""

from __future__ import annotations

from typing import Any

import click

from protocol.signals import settle_signals

from .streams import settled_streams


class Program(click.Group):
    """The group of commands that a program is, whose signals and streams are in order."""

    def main(self, *arguments: Any, **named: Any) -> Any:
        settle_signals()
        with settled_streams():
            return super().main(*arguments, **named)
