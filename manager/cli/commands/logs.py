"""The command `genvm-manager logs`."""

from __future__ import annotations

import codecs
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import click

from genvm_manager.base.text.printable import printable
from genvm_manager.manager.cli.exit_codes import UNKNOWN_RUN, Command, exit_codes
from genvm_manager.manager.cli.options.run_ids import RunIdType
from genvm_manager.manager.cli.options.service import ServiceOptions, service_options
from genvm_manager.manager.cli.rendering.formatting import dim
from genvm_manager.manager.cli.rendering.progress import Progress
from genvm_manager.manager.cli.run_end import across_restarts, state_of
from genvm_manager.manager.cli.service_connection import connected
from genvm_manager.manager.cli.tail_reader import Piece, TailReader
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.protocol.ipc.runs import Artifact, RunState

_LABELS = {Artifact.STDOUT: "stdout", Artifact.STDERR: "stderr", Artifact.GENVM_LOG: "log"}
_COLOURS = {"error": "red", "warn": "yellow"}

_PAUSE = 0.25
"""Seconds between two requests while a run is followed."""


@click.command("logs", cls=Command, epilog=exit_codes({0: "done", **UNKNOWN_RUN}))
@click.argument("run_id", metavar="ID", type=RunIdType())
@click.option("-f", "--follow", is_flag=True, help="Continue until the run ends.")
@click.option(
    "--only",
    type=click.Choice(list(_LABELS.values())),
    multiple=True,
    help="Print only this output; may be repeated. stdout or stderr alone are printed unchanged.",
)
@service_options()
def command(run_id: int, follow: bool, only: tuple[str, ...], **given: Any) -> None:
    """Print the output of the run ID: its stdout, its stderr, its executor's log.

    Each line starts with its source. The beginning of a long output is not kept; stderr tells how
    much is missing. A run that waits for permits has no output yet.

    --json prints an object for each line: `output`, and `text` or, for the log, `record`.
    """
    options = ServiceOptions(**given)
    outputs = [output for output, label in _LABELS.items() if not only or label in only]
    with connected(options) as client:
        if follow:
            _await_start(client, run_id)
        make = _printer(options.as_json, len(outputs) == 1)
        _read([(TailReader(client, run_id, output), make(output)) for output in outputs], follow)


def _await_start(client: HttpClient, run_id: int) -> None:
    state = state_of(client, run_id)
    with Progress(f"run {run_id} waits for permits"):
        while state is RunState.QUEUED:
            time.sleep(_PAUSE)
            state = across_restarts(lambda: state_of(client, run_id))


def _read(readers: list[tuple[TailReader, Printer]], follow: bool) -> None:
    """Print each output to its present end, or with `follow` all of them to the run's end."""
    while readers:
        for reader in list(readers):
            tail, printer = reader
            while (piece := tail.next()).has_more:
                printer.show(piece)
            printer.show(piece)
            if piece.is_last or not follow:
                printer.end()
                readers.remove(reader)
        if readers:
            time.sleep(_PAUSE)


def _printer(as_json: bool, is_alone: bool) -> Callable[[Artifact], Printer]:
    if as_json:
        return partial(LinePrinter, form=_json_line)
    if is_alone and not sys.stdout.isatty():
        return lambda output: (
            LinePrinter(output, _bare_line) if output is Artifact.GENVM_LOG else Printer(output)
        )
    return partial(LinePrinter, form=_bare_line if is_alone else _labelled_line)


class Printer:
    """Prints the pieces of an output unchanged."""

    def __init__(self, output: Artifact) -> None:
        self._output = output

    def show(self, piece: Piece) -> None:
        """Print the next piece."""
        if piece.missed:
            text = f"({piece.missed} bytes of {_LABELS[self._output]} are not kept)"
            click.echo(dim(text), err=True)
        click.echo(piece.content, nl=False)

    def end(self) -> None:
        """Print what is left, as no more pieces follow."""


class LinePrinter(Printer):
    """Prints an output line by line, each formatted by `form`."""

    def __init__(self, output: Artifact, form: Callable[[Artifact, str], str]) -> None:
        super().__init__(output)
        self._form = form
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def show(self, piece: Piece) -> None:
        """Print the lines that are complete."""
        super().show(replace(piece, content=b""))
        *lines, self._rest = (self._rest + self._decoder.decode(piece.content)).split("\n")
        for line in lines:
            click.echo(self._form(self._output, line))

    def end(self) -> None:
        """Print the last line if it has no newline."""
        rest = self._rest + self._decoder.decode(b"", final=True)
        # The rest of a log is only its closing bracket.
        if rest and self._output is not Artifact.GENVM_LOG:
            click.echo(self._form(self._output, rest))


def _json_line(output: Artifact, line: str) -> str:
    if output is Artifact.GENVM_LOG:
        return json.dumps({"output": output, "record": _record(line)})
    return json.dumps({"output": output, "text": line})


def _labelled_line(output: Artifact, line: str) -> str:
    return f"{dim(_LABELS[output].ljust(7))} {_bare_line(output, line)}"


def _bare_line(output: Artifact, line: str) -> str:
    if output is not Artifact.GENVM_LOG:
        return printable(line)
    record = _record(line)
    level, message = (str(record.pop(name, "")) for name in ("level", "message"))
    if "contract_error" in record and str(record["contract_error"]) in message:
        del record["contract_error"]
    fields = "".join(f" {name}={json.dumps(value)}" for name, value in record.items())
    shown = click.style(printable(level).ljust(5), fg=_COLOURS.get(level.lower()))
    return f"{shown} {printable(message + fields)}"


def _record(line: str) -> dict[str, Any]:
    """Parse a line of a log: a bracket or comma, and an object."""
    record = json.loads(line[1:])
    assert isinstance(record, dict)
    return record
