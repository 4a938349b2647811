"""The local node for commands: opens it, runs a transaction, prints the receipt, closes it."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NoReturn

import click

from genvm_manager.base.errors import BadRequest, ManagerError, Unavailable
from genvm_manager.base.files.state_folder import local_node
from genvm_manager.base.files.temporary_files import settle_temporary_files, temporary_folder
from genvm_manager.base.process.exhaustion import is_exhaustion
from genvm_manager.base.settings.token_file import TokenFileError
from genvm_manager.manager.cli.options.contract import ContractOptions
from genvm_manager.manager.cli.rendering.render import exit_code, receipt_as_json, receipt_as_text
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.manager.launcher.errors import ServiceFailed
from genvm_manager.manager.launcher.private_service import private_service
from genvm_manager.manager.local_node.errors import LocalNodeFailed, Refused
from genvm_manager.manager.local_node.execution import HttpExecutions
from genvm_manager.manager.local_node.ledger import Ledger
from genvm_manager.manager.local_node.node import LocalNode, Receipt

from .exit_codes import EX_USAGE, INTERRUPTED, TRY_AGAIN, fail, shortage, unwind_on_signals

FAILED = 3

_FAILURES = (
    LocalNodeFailed,
    ManagerError,
    OSError,
    ServiceFailed,
    TokenFileError,
    sqlite3.Error,
)


def run_and_exit(options: ContractOptions, work: Callable[[LocalNode], Receipt]) -> NoReturn:
    """Do `work` on the local node, print the receipt, and exit with the code for it."""
    with (
        reported_failures(options.as_json),
        _ledger(options.folder) as ledger,
        _service(options) as (address, token, is_own),
        _node(ledger, address, options.deadline, token, is_own=is_own) as node,
    ):
        receipt = work(node)
    as_json = options.as_json
    click.echo(json.dumps(receipt_as_json(receipt)) if as_json else receipt_as_text(receipt))
    sys.exit(exit_code(receipt.transactions[0]))


@contextmanager
def reported_failures(as_json: bool = False) -> Iterator[None]:
    """Exit with a sentence and a code when something fails inside.

    SIGTERM and SIGHUP exit like Ctrl-C, so that context managers clean up.
    """
    unwind_on_signals()
    try:
        yield
    except (Refused, BadRequest) as error:
        fail(str(error), EX_USAGE, as_json)
    except Unavailable as error:
        fail(
            f"{error}; nothing has changed: repeat the command once the service is back",
            FAILED,
            as_json,
        )
    except _FAILURES as error:
        if isinstance(error, OSError) and is_exhaustion(error):
            fail(shortage(error), TRY_AGAIN, as_json)
        fail(str(error), FAILED, as_json)
    except KeyboardInterrupt:
        fail("interrupted; nothing has changed", INTERRUPTED, as_json)


@contextmanager
def open_node(
    state_dir: Path, address: str, deadline: str, token: str | None = None, *, is_own: bool = True
) -> Iterator[LocalNode]:
    """Open the local node of a state folder; its contracts run on the service at `address`.

    `is_own`: that service can access files of this user.
    """
    with (
        closing(Ledger(local_node(state_dir))) as ledger,
        _node(ledger, address, deadline, token, is_own=is_own) as node,
    ):
        yield node


@contextmanager
def _node(
    ledger: Ledger, address: str, deadline: str, token: str | None, *, is_own: bool
) -> Iterator[LocalNode]:
    with HttpClient(address, token) as client:
        executions = HttpExecutions(client, deadline, is_own=is_own)
        yield LocalNode(ledger, executions, _report_waiting)


@contextmanager
def _ledger(state_folder: Path) -> Iterator[Ledger]:
    """Open the local node's ledger, and choose the folder for temporary files."""
    settle_temporary_files(state_folder)
    with closing(Ledger(local_node(state_folder))) as ledger:
        yield ledger


@contextmanager
def _service(options: ContractOptions) -> Iterator[tuple[str, str | None, bool]]:
    """Yield the address and token of the service to use, and whether it is this user's own.

    Without one, start a private service, and stop it at the end. It has a state folder of its own,
    because commands at the same time could not share one.
    """
    known = options.known_service()
    if known is not None:
        yield known.address, known.token(), known.is_own
        return
    _say("no service runs here: starting one for this command; to keep one: genvm-manager serve")
    with (
        temporary_folder("genvm-run-") as folder,
        private_service(folder, lasting_folder=options.folder) as service,
    ):
        yield service.address, None, True


def _say(progress: str) -> None:
    click.echo(progress, err=True)


def _report_waiting() -> None:
    _say("another command is using the local node; waiting for it")
