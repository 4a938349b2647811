"""How commands end: their exit codes, and one sentence for what went wrong.

0 to 3 speak of a contract's outcome, or of what was asked about; 64 and above of the command, with
the numbers of BSD's sysexits where it has them.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any, NoReturn

import click

from genvm_manager.base.process.signals import heeded
from genvm_manager.base.text.printable import printable

EX_FAILURE = 1
EX_USAGE = 64
NO_SUCH_RUN = 66
NO_SERVICE = 69
NOT_WRITTEN = 74
TRY_AGAIN = 75
EX_NOPERM = 77
OUT_OF_TIME = 124
HUNG_UP = 129
INTERRUPTED = 130
NOT_READ = 141
TERMINATED = 143

_OF_ALL = {
    EX_USAGE: "the command is at fault: an option, an argument, a file",
    NO_SERVICE: "no service answers",
    NOT_WRITTEN: "the output could not be written: a full disk, a closed stdout",
    TRY_AGAIN: "the service or the system cannot do it now; try again",
    EX_NOPERM: "the service wants a token, or another one",
    INTERRUPTED: "interrupted (143 by SIGTERM, 129 by SIGHUP)",
    NOT_READ: "whoever read the output reads no more, as after `| head`",
}

UNKNOWN_RUN = {NO_SUCH_RUN: "no run with this id is known"}


def exit_codes(own: Mapping[int, str]) -> str:
    """The part of a command's help that lists its exit codes; `own` go before those of all."""
    codes = dict(sorted({**_OF_ALL, **own}.items()))
    lines = [f"  {code:<4}{meaning}" for code, meaning in codes.items()]
    return "\n".join(["\b", "Exit codes:", *lines])


def fail(sentence: str, code: int, as_json: bool) -> NoReturn:
    """End the command: with one sentence on stderr, or as JSON on stdout."""
    if as_json:
        click.echo(json.dumps({"result": "failed", "error": sentence}))
    else:
        click.echo(f"Error: {printable(sentence)}", err=True)
    sys.exit(code)


def shortage(error: OSError) -> str:
    """The sentence for what `is_exhaustion` says of."""
    reason = error.strerror or error
    return f"this command cannot go on: {reason}; try again"


def unwind_on_signals() -> None:
    """Have SIGTERM, and the terminal's end unless it is ignored, unwind what is under way, as
    Ctrl-C does, so that nothing is left behind."""
    for number in (signal.SIGTERM, *heeded(signal.SIGHUP)):
        signal.signal(number, _unwind)


def _unwind(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(HUNG_UP if number == signal.SIGHUP else TERMINATED)


class Misuse(click.UsageError):
    """The command cannot be carried out as it was typed; the message says what to change."""

    exit_code = EX_USAGE


class Command(click.Command):
    """A command whose misuse ends with 64, as 2 means a VM error elsewhere."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise Misuse(error.format_message(), error.ctx) from None


class Group(Command, click.Group):
    """A group of such commands."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **(kwargs | {"no_args_is_help": False}))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Misuse:
            raise
        except click.UsageError as error:
            raise Misuse(error.format_message(), error.ctx) from None
