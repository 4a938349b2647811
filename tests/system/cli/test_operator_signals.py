"""Commands that were started with signals ignored, as by nohup, cron or a script's background."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from genvm_manager.base.errors import ManagerError
from tests.support.operator import DEADLINE
from tests.support.service import GENVM_MANAGER, RunningService
from tests.support.signals import blocked, caught, ignored, ignoring
from tests.support.waiting import wait_until

TERMINALS = (signal.SIGINT, signal.SIGHUP)
ALL = (*TERMINALS, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE)
WAITING = [("wait",), ("logs", "-f"), ("top", "--json")]
"""Commands that do not end by themselves while a run goes on; all but `top` take its id."""


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 1, permits: {total: 3}}") as running:
        yield running


@pytest.fixture(scope="module")
def run_id(service: RunningService) -> Iterator[int]:
    """A run that goes on."""
    run_id = service.start_run({"sleep_ms": 600_000})
    yield run_id
    assert service.client.get_run(run_id).status is None, "no command has ended it"
    service.client.cancel(run_id, grace_ms=0)


@contextmanager
def waiting(
    service: RunningService, arguments: Sequence[str], run_id: int, before: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A command that has come to where it handles signals."""
    about = [] if arguments[0] == "top" else [str(run_id)]
    command = [*before, GENVM_MANAGER, *arguments, *about, "--state-dir", str(service.state)]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=service.environment,
    ) as process:
        try:
            wait_until(lambda: signal.SIGTERM in caught(process.pid), DEADLINE)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("arguments", WAITING, ids=lambda arguments: arguments[0])
def test_it_goes_on_waiting_until_sigterm(
    service: RunningService, run_id: int, arguments: tuple[str, ...]
) -> None:
    with waiting(service, arguments, run_id, ignoring(*ALL)) as process:
        assert set(TERMINALS) <= ignored(process.pid)
        assert blocked(process.pid) == set()
        for number in TERMINALS:
            process.send_signal(number)
        process.terminate()
        assert process.wait(DEADLINE) == 143


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_else_it_ends_by_each_of_them(
    service: RunningService, run_id: int, number: signal.Signals, code: int
) -> None:
    with waiting(service, ("wait",), run_id, ()) as process:
        process.send_signal(number)
        assert process.wait(DEADLINE) == code


def test_the_service_goes_on_reloads_and_stops_by_sigterm() -> None:
    """An executor, and what it starts, has none of it."""
    service = RunningService(config="{http_workers: 1, permits: {total: 1}}")
    try:
        service.start(before=ignoring(*ALL))
        assert signal.SIGINT in ignored(service.process.pid)
        service.process.send_signal(signal.SIGINT)
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "info reloaded" in service.log, DEADLINE)
        run_id = service.start_run({"sleep_ms": 600_000})
        (run,) = service.client.status().executions.values()
        assert run.pid is not None
        assert ignored(run.pid) <= {signal.SIGPIPE, signal.SIGXFSZ}, "Python's own"
        assert blocked(run.pid) == set()
        service.half("supervisor").send_signal(signal.SIGKILL)
        ended = wait_until(lambda: _end_of(service, run_id), DEADLINE)
        assert ended == "lost", "its death was noticed"
        assert service.stop() == 0
        service.assert_nothing_left()
    finally:
        service.discard()


def _end_of(service: RunningService, run_id: int) -> str | None:
    """None while the supervisor is away, or the run is under way."""
    try:
        status = service.client.get_run(run_id).status
    except ManagerError:
        return None
    return None if status is None else status.cause
