"""The running service, and a contract that is deployed and called on it or on a private one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genvm_manager.base.check_result import CheckResult, failure, ok, warning
from genvm_manager.base.errors import ManagerError
from genvm_manager.base.files.temporary_files import (
    NoTemporaryFolder,
    settle_temporary_files,
    temporary_folder,
)
from genvm_manager.manager.cli.node_session import open_node
from genvm_manager.manager.cli.options.service import Access
from genvm_manager.manager.client.client import HttpClient, Unreachable
from genvm_manager.manager.launcher.errors import ServiceFailed
from genvm_manager.manager.launcher.private_service import private_service
from genvm_manager.manager.local_node import guestbook
from genvm_manager.manager.local_node.node import LocalNode
from genvm_manager.manager.local_node.transactions import Ending, Outcome
from genvm_manager.protocol.http_api import StatusReply
from genvm_manager.protocol.ipc.modules import ModuleState

from .installation import Installation

_DEADLINE = "1m"
_LINE = "Hello, doctor"


class TrialFailed(Exception):
    """The contract did not do what it does elsewhere; the message says what it did."""


def service(installation: Installation) -> Iterator[CheckResult]:
    """Whether one runs, takes runs, and is well."""
    topic = "service"
    try:
        access = installation.options.service()
        with HttpClient(access.address, access.token()) as client:
            refusal, status = client.refusal(), client.status()
    except Unreachable:
        yield ok(topic, "none runs here now")
        return
    if refusal is not None:
        yield failure(topic, f"{access.address}: {refusal}", "its log says more")
    else:
        yield ok(topic, f"{access.address} takes runs")
    yield from _health(status)


def _health(status: StatusReply) -> Iterator[CheckResult]:
    if status.audit != "ok":
        says = f"its audit found: {'; '.join(status.audit)}"
        yield failure("service", says, "report it with the log, and restart the supervisor")
    for kind, module in status.modules.items():
        if module.state is ModuleState.FAILED:
            says = f"the {kind} module has failed: {module.reason}"
            yield failure("service", says, f"mend that, then: genvm-manager module start {kind}")
        elif module.reason is not None:
            says = f"the {kind} module is {module.state}: {module.reason}"
            yield warning("service", says, f"mend that, then: genvm-manager module restart {kind}")


def trial_run(installation: Installation) -> Iterator[CheckResult]:
    """A contract deployed, called and read."""
    topic = "trial run"
    try:
        settle_temporary_files(installation.folder)
    except NoTemporaryFolder as error:
        yield failure(topic, f"none was made: {error}", "mount a tmpfs at /tmp")
        return
    with temporary_folder("genvm-doctor-") as folder:
        try:
            with _somewhere(installation, folder) as (where, access):
                start = time.monotonic()
                with open_node(
                    folder, access.address, _DEADLINE, access.token(), is_own=access.is_own
                ) as node:
                    _visit(node)
                passed = time.monotonic() - start
            yield ok(topic, f"a contract was deployed, called and read in {passed:.1f} s {where}")
        except _Busy as busy:
            yield warning(topic, f"none was made: {busy}", "come again when there is a permit free")
        except TrialFailed as error:
            yield failure(topic, str(error), "genvm-manager demo shows more")
        except (ManagerError, ServiceFailed, OSError) as error:
            yield failure(topic, str(error), "the service's log says more")


class _Busy(Exception):
    """The service has no permit to spare."""


@contextmanager
def _somewhere(installation: Installation, folder: Path) -> Iterator[tuple[str, Access]]:
    """The service that runs, else a private one with the same settings and executors.

    Raises `_Busy`.
    """
    running = installation.options.known_service()
    if running is not None:
        _require_permits(running)
        yield f"on {running.address}", running
        return
    with private_service(
        folder,
        installation.config_path,
        root=installation.root,
        manifest_path=installation.manifest_path,
        lasting_folder=installation.folder,
    ) as private:
        token_file = installation.config.token_file
        yield (
            "on a private service",
            Access(private.address, Path(token_file) if token_file else None, True),
        )


def _require_permits(access: Access) -> None:
    """So that we do not wait for hours behind others."""
    with HttpClient(access.address, access.token()) as client:
        permits = client.status().permits
    needed = max(permits.per_sync_run, permits.per_nondet_run)
    if permits.queued or permits.current < needed:
        raise _Busy(f"{permits.current} of {permits.max} permits are free")


def _visit(node: LocalNode) -> None:
    deployed = _returned(node.submit(guestbook.deployment("Guests of the doctor")).outcomes[0])
    _returned(node.submit(guestbook.call(deployed.callee, "sign", _LINE)).outcomes[0])
    read = _returned(node.view(guestbook.call(deployed.callee, "read")))
    assert read.ending is not None and read.ending.result is not None
    if read.ending.result.data["lines"] != [_LINE]:
        raise TrialFailed(f"the contract read {read.ending.result.data!r}")


def _returned(outcome: Outcome) -> Outcome:
    ending = outcome.ending
    if ending is None or not ending.is_return:
        raise TrialFailed(f"a contract that works elsewhere did not here: {_what(ending)}")
    return outcome


def _what(ending: Ending | None) -> str:
    if ending is None:
        return "it was not run"
    said = ending.reason if ending.result is None else repr(ending.result.data)
    last = ending.stderr.strip().splitlines()[-1:]
    return ", ".join([f"run {ending.run_id}: {said}", *last])
