"""The wall clock is stepped under a running service, as NTP or a person does it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from genvm_manager.manager.launcher.service_file import find_service
from tests.support.service import RunningService
from tests.support.waiting import wait_until

CONFIG = "{http_workers: 1, execution_retention: 300s}"

STEPPED = """
import time
def stepped(path={path!r}, real=time.time):
    try:
        with open(path) as file:
            return real() + float(file.read() or 0)
    except OSError:
        return real()
time.time = stepped
"""
"""In every process of the service and of its commands: the machine's own clock stays as it is."""

STEPS = [360.0, 20 * 365 * 86_400.0, -360.0, -20 * 365 * 86_400.0]


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """Holds the seconds by which the clock is off."""
    return tmp_path / "step"


@pytest.fixture
def service(clock: Path) -> Iterator[RunningService]:
    customize = STEPPED.format(path=str(clock))
    with RunningService(config=CONFIG, customize=customize) as running:
        yield running


def step(clock: Path, seconds: float) -> None:
    draft = clock.with_suffix(".new")
    draft.write_text(str(seconds))
    draft.replace(clock)


def shown(service: RunningService, *arguments: str) -> dict[str, object]:
    ended = service.genvm_manager(*arguments, "--state-dir", str(service.state), "--json")
    assert ended.returncode == 0, ended
    found = msgspec.json.decode(ended.stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("seconds", STEPS)
def test_a_step_forgets_no_result_and_changes_no_duration(
    service: RunningService, clock: Path, seconds: float
) -> None:
    known = service.start_run({"result": b"unread"})
    before = service.client.get_run(known, wait=30).status
    under_way = service.start_run({"sleep_ms": 2_500})
    step(clock, seconds)
    after = service.client.get_run(under_way, wait=30).status
    assert after is not None and after.wall_ms is not None
    assert 2_400 <= after.wall_ms < 20_000
    later = service.client.get_run(service.start_run({"sleep_ms": 200}), wait=30).status
    assert later is not None and later.wall_ms is not None
    assert 200 <= later.wall_ms < 20_000
    # Two looks at what is too old.
    time.sleep(2.2)
    assert service.client.get_run(known).status == before
    assert find_service(service.state) == service.url
    assert shown(service, "status")["ready"] is True
    listed = service.genvm_manager("ps", "--all", "--state-dir", str(service.state)).stdout
    assert len(listed.splitlines()) == 4, listed


@pytest.mark.parametrize("seconds", STEPS)
def test_a_step_forgets_nothing_over_a_restart_either(
    service: RunningService, clock: Path, seconds: float
) -> None:
    known = service.start_run({"result": b"unread"})
    before = service.client.get_run(known, wait=30).status
    step(clock, seconds)
    service.half("supervisor").send_signal(signal.SIGKILL)
    wait_until(lambda: service.http.get("/status").status_code == 503)
    wait_until(lambda: service.http.get("/readyz").is_success)
    service.start_run({})
    time.sleep(1.2)
    assert service.client.get_run(known).status == before


def test_ages_of_runs_under_way_are_true_after_a_step(service: RunningService, clock: Path) -> None:
    run_id = str(service.start_run({"sleep_ms": 600_000}))
    time.sleep(1)
    for seconds in STEPS:
        step(clock, seconds)
        run = service.client.status().executions[run_id]
        assert run.started_at is not None
        age = time.time() + seconds - run.started_at.timestamp()
        assert 0.9 <= age < 60
        line = service.genvm_manager("ps", "--state-dir", str(service.state)).stdout.splitlines()[1]
        assert line.split()[2].endswith("s"), line
    service.client.cancel(int(run_id), 0)


def test_retention_still_ends(clock: Path) -> None:
    config = "{http_workers: 1, execution_retention: 1s}"
    with RunningService(config=config, customize=STEPPED.format(path=str(clock))) as service:
        run_id = service.start_run({})
        service.client.get_run(run_id, wait=30)
        step(clock, -20 * 365 * 86_400.0)
        wait_until(lambda: service.client.get_run(run_id).status is None)
