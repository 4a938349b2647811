"""A service for the time of one command, on a free loopback port."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from .errors import ServiceFailed
from .service import Service
from .service_settings import ServiceSettings


@contextmanager
def private_service(  # noqa: PLR0913 - some of what a service has
    state_folder: Path,
    config_path: Path | None = None,
    *,
    root: Path | None = None,
    manifest_path: Path | None = None,
    quiet: bool = True,
    lasting_folder: Path | None = None,
) -> Iterator[Service]:
    """Run a service while the context is entered; its `url` has the port. Raises `ServiceFailed`.

    `quiet` keeps the processes' logs from stderr; the message has their last lines when the start
    fails. For the other parameters see `ServiceSettings`.
    """
    settings = ServiceSettings(
        state_folder,
        config_path,
        root,
        manifest_path,
        host="127.0.0.1",
        port=0,
        lasting_folder=lasting_folder,
    )
    with ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile()) if quiet else None
        try:
            service = stack.enter_context(Service(settings, report=_ignore, stderr=log))
            service.await_compiled()
        except ServiceFailed as failure:
            raise ServiceFailed(f"{failure}\n{_tail(log)}".strip()) from None
        yield service


def _ignore(_event: str) -> None:
    """Drop what a private service reports: its user did not ask for a service."""


def _tail(log: IO[bytes] | None) -> str:
    if log is None:
        return ""
    log.seek(0)
    return b"".join(log.readlines()[-5:]).decode("utf-8", "replace")
