"""Checks of the running service, and a trial run of a contract."""

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
from genvm_manager.manager.local_node.errors import LocalNodeFailed
from genvm_manager.manager.local_node.node import LocalNode
from genvm_manager.manager.local_node.transactions import Ending
from genvm_manager.protocol.http_api import StatusReply
from genvm_manager.protocol.ipc.modules import ModuleState

from .installation import Installation

_DEADLINE = "1m"
_LINE = "Hello, doctor"


def service(installation: Installation) -> Iterator[CheckResult]:
    """Check whether a service runs, takes runs and has no problem."""
    topic = "service"
    try:
        access = installation.options.service()
        with HttpClient(access.address, access.token()) as client:
            refusal, status = client.refusal(), client.status()
    except Unreachable:
        yield ok(topic, "no service runs here now")
        return
    if refusal is not None:
        yield failure(topic, f"{access.address}: {refusal}", "see its log")
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
            yield failure("service", says, f"correct that, then: genvm-manager module start {kind}")
        elif module.reason is not None:
            says = f"the {kind} module is {module.state}: {module.reason}"
            yield warning(
                "service", says, f"correct that, then: genvm-manager module restart {kind}"
            )


def trial_run(installation: Installation) -> Iterator[CheckResult]:
    """Deploy, call and read a contract on the running service, or else on a private one."""
    topic = "trial run"
    try:
        settle_temporary_files(installation.folder)
    except NoTemporaryFolder as error:
        yield failure(topic, f"not possible: {error}", "mount a tmpfs at /tmp")
        return
    running = installation.options.known_service()
    try:
        if running is not None and (busy := _permits_in_use(running)):
            yield warning(topic, f"skipped: {busy}", "repeat it when permits are free")
            return
        with (
            temporary_folder("genvm-doctor-") as folder,
            _service(installation, running, folder) as (where, access),
        ):
            start = time.monotonic()
            with open_node(
                folder, access.address, _DEADLINE, access.token(), is_own=access.is_own
            ) as node:
                fault = _try_contract(node)
            passed = time.monotonic() - start
    except (ManagerError, LocalNodeFailed, ServiceFailed, OSError) as error:
        yield failure(topic, str(error), "see the service's log")
        return
    if fault is not None:
        yield failure(topic, fault, "see genvm-manager demo")
    else:
        yield ok(topic, f"a contract was deployed, called and read in {passed:.1f} s {where}")


@contextmanager
def _service(
    installation: Installation, running: Access | None, folder: Path
) -> Iterator[tuple[str, Access]]:
    """Yield the running service, else a private one with the same settings and executors."""
    if running is not None:
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


def _permits_in_use(access: Access) -> str | None:
    """Return why a run would have to wait for permits, or None: it could wait for hours."""
    with HttpClient(access.address, access.token()) as client:
        permits = client.status().permits
    needed = max(permits.per_sync_run, permits.per_nondet_run)
    if permits.queued or permits.current < needed:
        return f"{permits.current} of {permits.max} permits are free"
    return None


def _try_contract(node: LocalNode) -> str | None:
    """Deploy, call and read the example contract; return what was wrong, or None."""
    deployed = node.submit(guestbook.deployment("Guests of the doctor")).transactions[0]
    if fault := _fault(deployed.ending):
        return fault
    signed = node.submit(guestbook.call(deployed.callee, "sign", _LINE)).transactions[0]
    if fault := _fault(signed.ending):
        return fault
    read = node.view(guestbook.call(deployed.callee, "read")).ending
    if fault := _fault(read):
        return fault
    assert read is not None and read.result is not None
    lines = read.result.data["lines"]
    return None if lines == [_LINE] else f"the contract has returned the lines {lines!r}"


def _fault(ending: Ending | None) -> str | None:
    """Return how a call of the contract failed, or None."""
    if ending is None:
        return "the contract was not run"
    if ending.is_return:
        return None
    reason = ending.reason if ending.result is None else repr(ending.result.data)
    last = ending.stderr.strip().splitlines()[-1:]
    return ", ".join([f"run {ending.run_id} of the contract failed: {reason}", *last])
