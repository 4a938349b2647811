"""Makes stdin, stdout and stderr safe: they may be closed, full or without a reader."""

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
"""How /dev/null is opened for each closed stream; writing to stdout must still fail."""


class OutputLost(Exception):
    """stdout cannot be written. It is not an `OSError`, which means a failure of the service."""

    def __init__(self, number: int) -> None:
        super().__init__("it is closed" if number == errno.EBADF else os.strerror(number))
        self.number = number


class _Stdout(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        """Write all or a part; wait while a non-blocking pipe is full. Raises `OutputLost`."""
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])
        except OSError as error:
            raise OutputLost(error.errno or errno.EIO) from None
        return written


class _Stderr(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        """Write, and ignore an error: there is nowhere to report it."""
        try:
            return super().write(data) or len(memoryview(data))
        except OSError:
            return len(memoryview(data))


@contextmanager
def settled_streams() -> Iterator[None]:
    """Open closed streams, and exit with a code when the output cannot be written.

    Streams that a test has replaced are left alone.
    """
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
            f"Error: stdout cannot be written: {lost}; the output is incomplete, send it elsewhere",
            err=True,
        )
        sys.exit(NOT_WRITTEN)


def drop_output() -> None:
    """Redirect stdout to /dev/null, so that later writes to it do not fail."""
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
    """Return a stream over another file, with the same settings as Python's own `before`."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before else "utf-8",
        errors=before.errors if before else errors,
        line_buffering=raw.isatty() or raw.fileno() == 2,
        write_through=raw.fileno() == 2,
    )
