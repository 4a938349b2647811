"""The exit codes of commands, and the sentence that tells a failure.

0 to 3 tell the result of a contract or of a check; 64 and above are failures of the command, with
the numbers of BSD's sysexits where there is one.
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
    EX_USAGE: "wrong usage: an option, an argument or a file",
    NO_SERVICE: "no service answers",
    NOT_WRITTEN: "the output cannot be written: the disk is full, or stdout is closed",
    TRY_AGAIN: "the service or the system cannot do it now; try again",
    EX_NOPERM: "token required, or the token is wrong",
    INTERRUPTED: "interrupted (143 by SIGTERM, 129 by SIGHUP)",
    NOT_READ: "the reader of the output has closed it, as after `| head`",
}

UNKNOWN_RUN = {NO_SUCH_RUN: "there is no run with this id"}


def exit_codes(own: Mapping[int, str]) -> str:
    """Return the help text with the exit codes of all commands; `own` override or add some."""
    codes = dict(sorted({**_OF_ALL, **own}.items()))
    lines = [f"  {code:<4}{meaning}" for code, meaning in codes.items()]
    return "\n".join(["\b", "Exit codes:", *lines])


def fail(sentence: str, code: int, as_json: bool) -> NoReturn:
    """Exit with a code, after one sentence on stderr, or as JSON on stdout."""
    if as_json:
        click.echo(json.dumps({"result": "failed", "error": sentence}))
    else:
        click.echo(f"Error: {printable(sentence)}", err=True)
    sys.exit(code)


def shortage(error: OSError) -> str:
    """Return the sentence for an error of which `is_exhaustion` is true."""
    reason = error.strerror or error
    return f"this command cannot continue: {reason}; try again"


def unwind_on_signals() -> None:
    """Make SIGTERM, and SIGHUP unless it is ignored, exit by an exception, as Ctrl-C does.

    So context managers clean up.
    """
    for number in (signal.SIGTERM, *heeded(signal.SIGHUP)):
        signal.signal(number, _unwind)


def _unwind(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(HUNG_UP if number == signal.SIGHUP else TERMINATED)


class InvalidUsage(click.UsageError):
    """The command line is wrong; the message says what to change."""

    exit_code = EX_USAGE


class Command(click.Command):
    """A command whose wrong usage exits with 64, as 2 means a VM error for other commands."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments. Raises `InvalidUsage`."""
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise InvalidUsage(error.format_message(), error.ctx) from None


class Group(Command, click.Group):
    """A group of commands whose wrong usage exits with 64."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **(kwargs | {"no_args_is_help": False}))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the sub-command. Raises `InvalidUsage`."""
        try:
            return super().invoke(ctx)
        except InvalidUsage:
            raise
        except click.UsageError as error:
            raise InvalidUsage(error.format_message(), error.ctx) from None
