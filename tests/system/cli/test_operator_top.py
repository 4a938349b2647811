"""`genvm-manager top` on a terminal, and what else shows itself only there."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.support.operator import Operator
from tests.support.service import RunningService
from tests.support.waiting import TIMEOUT, wait_until


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 1, permits: {total: 3}}") as running:
        yield running


@pytest.fixture(scope="module")
def operator(service: RunningService) -> Operator:
    return Operator(service)


def test_top_lives_until_q(service: RunningService, operator: Operator) -> None:
    with operator.sits_at("top", "--interval", "200ms") as terminal:
        terminal.shows("takes runs")
        terminal.shows("none under way")
        terminal.shows("CPU%")
        run_id = service.start_run({"sleep_ms": 600_000})
        terminal.shows("running")
        terminal.shows(f"{run_id} ")
        terminal.shows("MiB")
        service.client.cancel(run_id, grace_ms=0)
        terminal.shows("cancelled")
        with service.without_supervisor():
            terminal.shows("the supervisor cannot be reached")
        terminal.forget()
        terminal.shows("takes runs")
        terminal.press("q")
        assert terminal.ends() == 0
        assert "\x1b[?1049l" in terminal.seen, "the screen is given back"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_top_leaves_the_terminal_as_it_was(
    operator: Operator, number: signal.Signals, code: int
) -> None:
    with operator.sits_at("top") as terminal:
        terminal.shows("CPU%")
        assert not terminal.is_line_by_line()
        terminal.signal(number)
        assert terminal.ends() == code
        assert terminal.is_line_by_line()
        assert "\x1b[?1049l" in terminal.seen
        assert "\x1b[?25h" in terminal.seen, "the cursor is shown again"


def test_top_needs_a_terminal_but_not_for_scripts(operator: Operator) -> None:
    assert "top needs a terminal; use genvm-manager ps" in operator.types("top", code=64).stderr
    with operator.watches("top", "--json", "--interval", "100ms") as command:
        wait_until(lambda: command.stdout.count("\n") >= 3)
        first, second, *_ = command.stdout.splitlines()
    assert json.loads(first).keys() == json.loads(second).keys() >= {"permits", "executions"}


def test_a_table_is_as_wide_as_the_terminal(service: RunningService, operator: Operator) -> None:
    run_id = service.start_run({"sleep_ms": 600_000})
    with operator.sits_at("ps", "--all") as terminal:
        assert terminal.ends() == 0
        assert "\x1b[32mrunning" in terminal.seen, "in colour"
        lines = terminal.seen.replace("\r", "").splitlines()
        assert max(len(_plain(line)) for line in lines) <= 80
    service.client.cancel(run_id, grace_ms=0)


def test_what_a_run_wrote_does_not_steer_the_terminal(
    service: RunningService, operator: Operator
) -> None:
    run_id = service.start_run({"print": "\x1b[2Jgone?"})
    service.client.get_run(run_id, wait=TIMEOUT)
    with operator.sits_at("logs", str(run_id), "--only", "stdout") as terminal:
        assert terminal.ends() == 0
        assert terminal.seen == "\\x1b[2Jgone?\r\n"


def test_waiting_shows_itself_and_goes(service: RunningService, operator: Operator) -> None:
    run_id = service.start_run({"sleep_ms": 600_000})
    with operator.sits_at("wait", str(run_id)) as terminal:
        terminal.shows(f"waiting for run {run_id}, which is running")
        terminal.press("\x03")
        assert terminal.ends() == 130
        assert "Error: interrupted" in terminal.seen
    assert service.client.get_run(run_id).status is None, "it goes on"
    service.client.cancel(run_id, grace_ms=0)


def _plain(line: str) -> str:
    """Without colours."""
    parts = line.split("\x1b[")
    return parts[0] + "".join(part.partition("m")[2] for part in parts[1:])
