"""Which service a command speaks with, and what it says when that one does not answer as wished."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from manager.http_client import HttpClient, TokenRefused, Unreachable
from manager.service_note import find_note
from manager.token_file import TokenFileError, read_token
from protocol.config import DEFAULT_PORT
from protocol.errors import BadRequest, ManagerError, RunNotFound, Unavailable
from protocol.state_folder import default_state_folder

from .ending import (
    INTERRUPTED,
    MISUSE,
    NO_SERVICE,
    NO_SUCH_RUN,
    NOT_ADMITTED,
    NOT_WELL,
    TERMINATED,
    TRY_AGAIN,
    fail,
)
from .parameters import UrlType

F = TypeVar("F", bound=Callable[..., Any])

USUAL_ADDRESS = f"http://127.0.0.1:{DEFAULT_PORT}"

_COMPLETION_PATIENCE = 1.0
"""Seconds that somebody who presses Tab may have to wait."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where a service answers, and the file with the token that it wants."""

    address: str
    token_file: Path | None

    def token(self) -> str | None:
        """Raises `TokenFileError`."""
        return read_token(self.token_file) if self.token_file else None


@dataclass(frozen=True)
class ServiceOptions:
    """The options by which commands find their service."""

    state_dir: Path | None
    url: str | None
    token_file: Path | None
    as_json: bool

    @property
    def folder(self) -> Path:
        """The state folder, named or usual."""
        return self.state_dir or default_state_folder(os.environ)

    def known_service(self) -> Access | None:
        """The one at --url, else the one that runs on the state folder; None when none does."""
        note = find_note(self.folder)
        address = self.url or (note.address if note else None)
        if address is None:
            return None
        token_file = self.token_file
        if token_file is None and note and note.token_file and note.address == address:
            token_file = Path(note.token_file)
        return Access(address, token_file)

    def service(self) -> Access:
        """As `known_service`; without one the usual address, unless a folder was named.

        Raises `Unreachable`.
        """
        known = self.known_service()
        if known is not None:
            return known
        if self.state_dir is not None:
            raise Unreachable(f"no service runs on {self.state_dir}")
        return Access(USUAL_ADDRESS, self.token_file)


def service_options(
    state_dir: str = "Look for the service that runs on this folder.",
    otherwise: str = USUAL_ADDRESS,
) -> Callable[[F], F]:
    """Gives a click command the options of `ServiceOptions`: what the folder is for, and which
    service is used when none is known."""
    options = (
        click.option(
            "--state-dir",
            type=click.Path(file_okay=False, path_type=Path, resolve_path=True),
            help=f"{state_dir}  [default: $XDG_STATE_HOME/genvm-manager]",
        ),
        click.option(
            "--url",
            type=UrlType(),
            envvar="GENVM_MANAGER_URL",
            help="The service: http://HOST:PORT or unix:PATH.  [default: $GENVM_MANAGER_URL, "
            f"else the one that runs on --state-dir, else {otherwise}]",
        ),
        click.option(
            "--token-file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            envvar="GENVM_MANAGER_TOKEN_FILE",
            help="The service's token file.  [default: $GENVM_MANAGER_TOKEN_FILE, else the one "
            "that the service on --state-dir uses]",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts."),
    )

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@contextmanager
def asking(options: ServiceOptions) -> Iterator[HttpClient]:
    """A client of the service. What goes wrong inside ends the command, in words and with a code.

    SIGTERM, like Ctrl-C, unwinds what is under way.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        access = options.service()
        with HttpClient(access.address, access.token()) as client:
            yield client
    except BrokenPipeError:
        raise
    except (ManagerError, TokenFileError, OSError) as error:
        fail(_sentence(error, options), _exit_code(error), options.as_json)
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED, options.as_json)


_CODES: dict[type[Exception], int] = {
    RunNotFound: NO_SUCH_RUN,
    Unreachable: NO_SERVICE,
    Unavailable: TRY_AGAIN,
    TokenRefused: NOT_ADMITTED,
    TokenFileError: NOT_ADMITTED,
    BadRequest: MISUSE,
    ManagerError: NOT_WELL,
    OSError: NOT_WELL,
}


def _exit_code(error: Exception) -> int:
    """By the nearest class in the table."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def _sentence(error: Exception, options: ServiceOptions) -> str:
    """What went wrong, and the next step."""
    match error:
        case Unreachable():
            start = "genvm-manager serve"
            if options.state_dir is not None:
                start += f" --state-dir {options.state_dir}"
            return f"{error}; start one: {start}, or name another one by --url"
        case Unavailable(retry_after=seconds):
            return f"{error}; try again in {seconds} s"
        case TokenRefused() if options.token_file is None:
            return (
                "the service wants its token: --token-file, or GENVM_MANAGER_TOKEN_FILE, names it"
            )
        case TokenRefused():
            return f"the token in {options.token_file} is not the one that the service wants"
        case RunNotFound():
            return f"{error}; `genvm-manager ps --all` lists those that are kept"
    return str(error)


def listed_runs(params: Mapping[str, Any]) -> dict[str, str]:
    """The state of each run in `Status`, by id; for completion, so with little patience.

    Raises `ManagerError` and `OSError`.
    """
    names = ("state_dir", "url", "token_file")
    options = ServiceOptions(**{name: params.get(name) for name in names}, as_json=False)
    access = options.service()
    with HttpClient(access.address, access.token(), patience=_COMPLETION_PATIENCE) as client:
        return {run_id: str(run.state) for run_id, run in client.status().executions.items()}
