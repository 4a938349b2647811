"""stdin, stdout and stderr as a command finds them: closed, full, or read by nobody any more."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

from .exit_codes import NOT_READ, NOT_WRITTEN

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MODES = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)
"""How /dev/null takes the place of each that is closed. Writing to stdout must fail as before."""


class OutputLost(Exception):
    """stdout cannot be written. No `OSError`, which commands take for a fault of what they ask."""

    def __init__(self, number: int) -> None:
        super().__init__("it is closed" if number == errno.EBADF else os.strerror(number))
        self.number = number


class _Stdout(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        """Write all or a part, waiting while a pipe that must not block is full."""
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])
        except OSError as error:
            raise OutputLost(error.errno or errno.EIO) from None
        return written


class _Stderr(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        """What cannot be written is lost: there is nowhere to say so."""
        try:
            return super().write(data) or len(memoryview(data))
        except OSError:
            return len(memoryview(data))


@contextmanager
def settled_streams() -> Iterator[None]:
    """Open what is closed, and end the command with a sentence or silently, and with a code, when
    its output cannot be written. Streams that a test has put there are left alone."""
    if sys.stdout is not sys.__stdout__:
        yield
        return
    for descriptor, mode in enumerate(_MODES):
        if not _is_open(descriptor):
            os.set_inheritable(os.open(os.devnull, mode), True)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for the process's whole life
    sys.stdout = _text(_Stdout(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Stderr(2, "w", closefd=False), sys.stderr, errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OutputLost as lost:
        drop_output()
        if lost.number == errno.EPIPE:
            sys.exit(NOT_READ)
        click.echo(
            f"Error: stdout cannot be written: {lost}; the output is not whole, send it elsewhere",
            err=True,
        )
        sys.exit(NOT_WRITTEN)


def drop_output() -> None:
    """Have stdout lead nowhere, so that what is still to be written to it does no harm."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _text(raw: io.FileIO, before: TextIO | None, errors: str = "strict") -> io.TextIOWrapper:
    """A stream as Python makes it, above another file; `before` is the one that Python made."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before else "utf-8",
        errors=before.errors if before else errors,
        line_buffering=raw.isatty() or raw.fileno() == 2,
        write_through=raw.fileno() == 2,
    )
