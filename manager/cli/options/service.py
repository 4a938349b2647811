"""The options by which a command finds its service."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import psutil

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.files.state_folder import default_state_folder, require_text
from genvm_manager.base.settings.config import DEFAULT_PORT
from genvm_manager.base.settings.token_file import read_token
from genvm_manager.manager.cli.exit_codes import InvalidUsage
from genvm_manager.manager.client.client import HttpClient, Unreachable
from genvm_manager.manager.launcher.service_file import (
    UNREADABLE,
    ServiceFile,
    find_service_file,
    service_file_fault,
)
from genvm_manager.manager.launcher.system_service import (
    STATE_FOLDER,
    find_system_service,
    system_token_file,
)

from .parameters import UrlType

F = TypeVar("F", bound=Callable[..., Any])

URL_VARIABLE = "GENVM_MANAGER_URL"
TOKEN_FILE_VARIABLE = "GENVM_MANAGER_TOKEN_FILE"  # noqa: S105 - the name of a variable

USUAL_ADDRESS = f"http://127.0.0.1:{DEFAULT_PORT}"

_COMPLETION_TIMEOUT = 1.0
"""Seconds that the completion of a run's id may take."""


@dataclass(frozen=True, slots=True)
class Access:
    """The address of a service, and the file with its token.

    `is_own`: it is known to run as this user or as root, so that it can access this user's files.
    """

    address: str
    token_file: Path | None
    is_own: bool

    def token(self) -> str | None:
        """Return the token, or None without a file. Raises `TokenFileError`."""
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
        """The named or the default state folder.

        Raises `InvalidUsage` if there is no default one, or if its name is not UTF-8.
        """
        try:
            folder = self.state_dir or default_state_folder(os.environ)
            require_text(folder, "state folder")
        except BadRequest as error:
            raise InvalidUsage(error.message) from None
        return folder

    def known_service(self) -> Access | None:
        """Return the service to use, or None if none is known.

        It is the one at --url, else (without --state-dir) the one that the environment names, else
        the one that runs on the state folder, else (without another --state-dir) the one that
        scripts/install has set up. Raises `InvalidUsage`, and `Unreachable` if the service file in
        the default folder cannot be read, since that service may be meant.
        """
        address = self.url or (None if self.state_dir else _url_in_environment())
        try:
            file = find_service_file(self.folder)
        except InvalidUsage:
            if address is None:
                raise
            file = None
        if file is not None and address in (None, file.address, *file.more_urls):
            token_file = self.token_file or (Path(file.token_file) if file.token_file else None)
            return Access(address or file.address, token_file, _is_own(file))
        if address is not None:
            return Access(address, self._named_token_file(), False)
        if self.state_dir is None and service_file_fault(self.folder) == UNREADABLE:
            raise Unreachable(f"no service found on {self.folder}: {_about_file(UNREADABLE)}")
        return self._system_service() if self.state_dir in (None, STATE_FOLDER) else None

    def _system_service(self) -> Access | None:
        address = find_system_service()
        if address is None:
            return None
        return Access(address, self._named_token_file() or system_token_file(), False)

    def _named_token_file(self) -> Path | None:
        """Return the token file of the options, else of the environment."""
        named = os.environ.get(TOKEN_FILE_VARIABLE)
        return self.token_file or (Path(named) if named else None)

    def service(self) -> Access:
        """Return the known service, else (without --state-dir) the one at the default address.

        Raises `Unreachable`.
        """
        known = self.known_service()
        if known is not None:
            return known
        if self.state_dir is not None:
            fault = service_file_fault(self.folder)
            because = f": {_about_file(fault)}" if fault else ""
            raise Unreachable(f"no service runs on {self.state_dir}{because}")
        return Access(USUAL_ADDRESS, self._named_token_file(), False)


def service_options(
    state_dir: str = "Use the service that runs on this state folder.",
    otherwise: str = USUAL_ADDRESS,
) -> Callable[[F], F]:
    """Return a decorator that adds the options of `ServiceOptions` to a click command.

    `state_dir`: the help of --state-dir. `otherwise`: what is used if no service is known.
    """
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
            f"--state-dir; without that ${URL_VARIABLE}, else the one on the default folder, "
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


def _about_file(fault: str) -> str:
    return f"its service.json is not usable, {fault}"


def _is_own(file: ServiceFile) -> bool:
    with suppress(psutil.Error):
        return psutil.Process(file.pid).uids().effective in (0, os.geteuid())
    return False


def _url_in_environment() -> str | None:
    given = os.environ.get(URL_VARIABLE)
    if not given:
        return None
    try:
        return UrlType().convert(given, None, None)
    except click.BadParameter as error:
        raise InvalidUsage(f"{URL_VARIABLE}: {error.message}") from None


def listed_runs(params: Mapping[str, Any]) -> dict[str, str]:
    """Return the state of each listed run by its id, for completion, so with a short timeout.

    Raises `ManagerError` and `OSError`.
    """
    names = ("state_dir", "url", "token_file")
    options = ServiceOptions(**{name: params.get(name) for name in names}, as_json=False)
    access = options.service()
    with HttpClient(access.address, access.token(), timeout=_COMPLETION_TIMEOUT) as client:
        return {run_id: str(run.state) for run_id, run in client.status().executions.items()}
