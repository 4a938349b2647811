"""Shows what a command waits for, once that takes more than a second."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from types import TracebackType

import click

from genvm_manager.base.process.threads import start_thread

from .formatting import span

DELAY = 1.0
"""Seconds until something is shown."""

_REFRESH = 0.25


class Progress:
    """Shows a line on stderr while the context is entered; on a terminal it is live, then erased.

    `text` may be changed at any time. If the system lacks a thread, nothing is shown.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._start = time.monotonic()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        with suppress(BlockingIOError):
            start_thread(self._thread)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _show(self) -> None:
        if self._is_over.wait(DELAY):
            return
        if sys.stderr.isatty():
            self._live()
        else:
            click.echo(f"{self.text} …", err=True)

    def _live(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - most commands never come here

        with Console(stderr=True, highlight=False).status("") as status:
            while not self._is_over.wait(_REFRESH):
                passed = span(time.monotonic() - self._start)
                status.update(f"{self.text} [dim]{passed}[/dim]")
