"""The connection of a command to its service, and the sentences and exit codes of its failures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from genvm_manager.base.errors import BadRequest, ManagerError, RunNotFound, Unavailable
from genvm_manager.base.process.exhaustion import is_exhaustion
from genvm_manager.base.settings.token_file import TokenFileError
from genvm_manager.manager.client.client import HttpClient, TokenRefused, Unreachable
from genvm_manager.manager.launcher.system_service import how_to_be_admitted

from .exit_codes import (
    EX_FAILURE,
    EX_NOPERM,
    EX_USAGE,
    INTERRUPTED,
    NO_SERVICE,
    NO_SUCH_RUN,
    TRY_AGAIN,
    InvalidUsage,
    fail,
    shortage,
    unwind_on_signals,
)
from .options.service import TOKEN_FILE_VARIABLE, ServiceOptions


@contextmanager
def connected(options: ServiceOptions) -> Iterator[HttpClient]:
    """Connect to the service; exit with a sentence and a code when something fails inside.

    SIGTERM and SIGHUP exit like Ctrl-C, so that context managers clean up.
    """
    unwind_on_signals()
    token = None
    try:
        access = options.service()
        token = access.token()
        with HttpClient(access.address, token) as client:
            yield client
    except InvalidUsage as error:
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
    """Return the code of the nearest class in the table."""
    if is_exhaustion(error):
        return TRY_AGAIN
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def _sentence(error: Exception, options: ServiceOptions, had_token: bool) -> str:
    """Return what failed, and the next step."""
    match error:
        case OSError() if is_exhaustion(error):
            return shortage(error)
        case Unreachable():
            start = "genvm-manager serve"
            if options.state_dir is not None:
                start += f" --state-dir {options.state_dir}"
            return f"{error}; start one by {start}, or name another one by --url"
        case Unavailable(retry_after=seconds):
            return f"{error}; try again in {seconds} s"
        case TokenRefused() if not had_token:
            required = f"token required: name its file by --token-file or {TOKEN_FILE_VARIABLE}"
            join = how_to_be_admitted()
            return f"{required}, or let root run: {join}" if join else required
        case TokenRefused():
            return "wrong token: name the file of the service's token by --token-file"
        case RunNotFound():
            return f"{error}; genvm-manager ps --all lists the runs that are kept"
    return str(error)
