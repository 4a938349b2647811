"""Which service a command speaks with, and what it says when that one does not answer as wished."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import psutil

from genvm_manager.base.errors import BadRequest, ManagerError, RunNotFound, Unavailable
from genvm_manager.base.files.state_folder import default_state_folder, require_text
from genvm_manager.base.process.exhaustion import is_exhaustion
from genvm_manager.base.settings.config import DEFAULT_PORT
from genvm_manager.base.settings.token_file import TokenFileError, read_token
from genvm_manager.manager.cli.exit_codes import (
    EX_FAILURE,
    EX_NOPERM,
    EX_USAGE,
    INTERRUPTED,
    NO_SERVICE,
    NO_SUCH_RUN,
    TRY_AGAIN,
    Misuse,
    fail,
    shortage,
    unwind_on_signals,
)
from genvm_manager.manager.client.client import HttpClient, TokenRefused, Unreachable
from genvm_manager.manager.launcher.service_file import (
    UNREADABLE,
    ServiceFile,
    find_service_file,
    service_file_fault,
)
from genvm_manager.manager.launcher.system_service import (
    STATE_FOLDER,
    find_system_service,
    how_to_be_admitted,
    system_token_file,
)

from .parameters import UrlType

F = TypeVar("F", bound=Callable[..., Any])

URL_VARIABLE = "GENVM_MANAGER_URL"
TOKEN_FILE_VARIABLE = "GENVM_MANAGER_TOKEN_FILE"  # noqa: S105 - the name of a variable

USUAL_ADDRESS = f"http://127.0.0.1:{DEFAULT_PORT}"

_COMPLETION_TIMEOUT = 1.0
"""Seconds that somebody who presses Tab may have to wait."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where a service answers, and the file with the token that it wants.

    `is_own`: it is known to run as we do, or as root, so that it can reach what is for us alone.
    """

    address: str
    token_file: Path | None
    is_own: bool

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
        """The state folder, named or usual. Raises `Misuse` where there is no usual one, or where
        its name is no text."""
        try:
            folder = self.state_dir or default_state_folder(os.environ)
            require_text(folder, "state folder")
        except BadRequest as error:
            raise Misuse(error.message) from None
        return folder

    def known_service(self) -> Access | None:
        """The one at --url, or that the environment names unless a folder is named, else the one
        that runs on the folder, else, unless another folder is named, this machine's; None without
        any. Raises `Misuse`, and `Unreachable` for a note on the usual folder that cannot be read:
        then it may be that service that is meant."""
        address = self.url or (None if self.state_dir else _url_in_environment())
        try:
            note = find_service_file(self.folder)
        except Misuse:
            if address is None:
                raise
            note = None
        if note is not None and address in (None, note.address, *note.more_urls):
            noted = Path(note.token_file) if note.token_file else None
            return Access(address or note.address, self.token_file or noted, _runs_as_we_do(note))
        if address is not None:
            return Access(address, self._token_file_elsewhere(), False)
        if self.state_dir is None and service_file_fault(self.folder) == UNREADABLE:
            raise Unreachable(f"no service is found on {self.folder}: {_about_note(UNREADABLE)}")
        return self._system_service() if self.state_dir in (None, STATE_FOLDER) else None

    def _system_service(self) -> Access | None:
        address = find_system_service()
        if address is None:
            return None
        return Access(address, self._token_file_elsewhere() or system_token_file(), False)

    def _token_file_elsewhere(self) -> Path | None:
        """That of a service which left no note that we know."""
        named = os.environ.get(TOKEN_FILE_VARIABLE)
        return self.token_file or (Path(named) if named else None)

    def service(self) -> Access:
        """As `known_service`; without one the usual address, unless a folder was named.

        Raises `Unreachable`.
        """
        known = self.known_service()
        if known is not None:
            return known
        if self.state_dir is not None:
            fault = service_file_fault(self.folder)
            because = f": {_about_note(fault)}" if fault else ""
            raise Unreachable(f"no service runs on {self.state_dir}{because}")
        return Access(USUAL_ADDRESS, self._token_file_elsewhere(), False)


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
            help="The service: http://HOST:PORT or unix:PATH.  [default: the one that runs on "
            f"--state-dir; without that ${URL_VARIABLE}, else the one on the usual folder, "
            f"else the one that scripts/install has set up, else {otherwise}]",
        ),
        click.option(
            "--token-file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="The service's token file.  [default: the one that the service on the folder "
            f"uses, else ${TOKEN_FILE_VARIABLE}, else that of scripts/install]",
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

    SIGTERM and SIGHUP, like Ctrl-C, unwind what is under way.
    """
    unwind_on_signals()
    token = None
    try:
        access = options.service()
        token = access.token()
        with HttpClient(access.address, token) as client:
            yield client
    except Misuse as error:
        fail(error.message, EX_USAGE, options.as_json)
    except (ManagerError, TokenFileError, OSError) as error:
        sentence = _sentence(error, options, token is not None)
        fail(sentence, _exit_code(error), options.as_json)
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED, options.as_json)


_CODES: dict[type[Exception], int] = {
    RunNotFound: NO_SUCH_RUN,
    Unreachable: NO_SERVICE,
    Unavailable: TRY_AGAIN,
    TokenRefused: EX_NOPERM,
    TokenFileError: EX_NOPERM,
    BadRequest: EX_USAGE,
    ManagerError: EX_FAILURE,
    OSError: EX_FAILURE,
}


def _exit_code(error: Exception) -> int:
    """By the nearest class in the table."""
    if is_exhaustion(error):
        return TRY_AGAIN
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def _sentence(error: Exception, options: ServiceOptions, had_token: bool) -> str:
    """What went wrong, and the next step."""
    match error:
        case OSError() if is_exhaustion(error):
            return shortage(error)
        case Unreachable():
            start = "genvm-manager serve"
            if options.state_dir is not None:
                start += f" --state-dir {options.state_dir}"
            return f"{error}; start one: {start}, or name another one by --url"
        case Unavailable(retry_after=seconds):
            return f"{error}; try again in {seconds} s"
        case TokenRefused() if not had_token:
            wants = f"the service wants its token: --token-file or {TOKEN_FILE_VARIABLE} names it"
            join = how_to_be_admitted()
            return f"{wants}. Or have root say: {join}" if join else wants
        case TokenRefused():
            return "the token is not the one that the service wants; --token-file names another"
        case RunNotFound():
            return f"{error}; `genvm-manager ps --all` lists those that are kept"
    return str(error)


def _about_note(fault: str) -> str:
    return f"service.json there names none, {fault}"


def _runs_as_we_do(note: ServiceFile) -> bool:
    with suppress(psutil.Error):
        return psutil.Process(note.pid).uids().effective in (0, os.geteuid())
    return False


def _url_in_environment() -> str | None:
    given = os.environ.get(URL_VARIABLE)
    if not given:
        return None
    try:
        return UrlType().convert(given, None, None)
    except click.BadParameter as error:
        raise Misuse(f"{URL_VARIABLE}: {error.message}") from None


def listed_runs(params: Mapping[str, Any]) -> dict[str, str]:
    """The state of each run in `Status`, by id; for completion, so with little timeout.

    Raises `ManagerError` and `OSError`.
    """
    names = ("state_dir", "url", "token_file")
    options = ServiceOptions(**{name: params.get(name) for name in names}, as_json=False)
    access = options.service()
    with HttpClient(access.address, access.token(), timeout=_COMPLETION_TIMEOUT) as client:
        return {run_id: str(run.state) for run_id, run in client.status().executions.items()}
