"""`serve --host localhost`: at all addresses of the name, whatever is restarted or reloaded."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import httpx
import pytest

from genvm_manager.base.files.state_folder import service_file
from tests.support.names import LOCALHOST_OF_BOTH
from tests.support.operator import DEADLINE
from tests.support.service import RunningService
from tests.support.waiting import wait_until


@pytest.fixture(scope="module", params=["option", "setting"])
def service(request: pytest.FixtureRequest) -> Iterator[RunningService]:
    """`--port 0` is given to each of them."""
    named = request.param == "setting"
    options = [] if named else ["--host", "localhost"]
    setting = ", bind_address: 'localhost:1'" if named else ""
    config = f"{{http_workers: 1{setting}}}"
    with RunningService(*options, config=config, customize=LOCALHOST_OF_BOTH) as running:
        yield running


@pytest.fixture
def urls(service: RunningService) -> list[str]:
    file = json.loads(service_file(service.state).read_text())
    return [file["url"], *file["more_urls"]]


def all_answer(urls: list[str]) -> None:
    for url in urls:
        wait_until(lambda url=url: _is_ready(url), DEADLINE)  # type: ignore[misc]


def test_it_says_and_serves_both_on_one_port(service: RunningService, urls: list[str]) -> None:
    port = int(urls[0].rpartition(":")[2])
    assert urls == [f"http://127.0.0.1:{port}", f"http://[::1]:{port}"]
    assert f"GenVM Manager serves {urls[0]} and {urls[1]} (state in" in service.log
    all_answer(urls)


def test_commands_know_it_by_either(service: RunningService, urls: list[str]) -> None:
    for url in urls:
        ended = service.genvm_manager("status", "--url", url, "--state-dir", str(service.state))
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith(url)


def test_both_stay_when_http_is_reloaded_and_when_it_dies(
    service: RunningService, urls: list[str]
) -> None:
    service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "info reloaded" in service.log, DEADLINE)
    all_answer(urls)
    before = service.half("http")
    before.kill()
    wait_until(lambda: service.half("http") != before, DEADLINE)
    all_answer(urls)
    assert json.loads(service_file(service.state).read_text())["more_urls"] == urls[1:]


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=DEADLINE).is_success
    except httpx.TransportError:
        return False
