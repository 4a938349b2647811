"""`/module` as HTTP shows it; what modules do is tested at the supervisor.

Source: docs/spec/01-http-api.md#modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from genvm_manager.base.errors import RequestFailed
from tests.support.module_runs import LIGHT, LLM, WEB
from tests.support.service import RunningService
from tests.support.waiting import TIMEOUT


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 1, http_threads: 16, drain_timeout: 1s}") as running:
        yield running


@pytest.fixture
def http(service: RunningService) -> Iterator[httpx.Client]:
    yield service.http
    for kind in (LLM, WEB):
        ask(service.http, "stop", kind)


def ask(http: httpx.Client, what: str, module: str, **more: Any) -> httpx.Response:
    return http.post(f"/module/{what}", json={"module_type": module, **more}, timeout=TIMEOUT)


def start(http: httpx.Client, module: str, what: str = "start", **config: Any) -> httpx.Response:
    light = LIGHT[LLM if module.lower() == "llm" else WEB]
    return ask(http, what, module, config={**light, **config}, allow_empty_backends=True)


@pytest.mark.parametrize("module", ["llm", "Llm", "LLM"])
def test_the_words_that_clients_know(http: httpx.Client, module: str) -> None:
    assert start(http, module).json() == {"result": "module_started"}
    again = start(http, module)
    assert (again.status_code, again.json()) == (500, {"error": "module_already_running"})
    assert start(http, module, "restart").json() == {"result": "module_restarted"}
    assert ask(http, "stop", module).json() == {"result": "module_stopped"}
    assert ask(http, "stop", module).json() == {"result": "module_not_running"}


def test_status_shows_both_modules(http: httpx.Client) -> None:
    assert start(http, "Web", workers=2).is_success
    status = http.get("/status").json()
    assert (status["llm_module"], status["web_module"]) == ("stopped", "running")
    web = status["modules"]["web"]
    assert (web["state"], web["reason"], web["retiring"]) == ("running", None, 0)
    assert datetime.fromisoformat(web["since"]).tzinfo
    assert [set(worker) for worker in web["workers"]] == [
        {"pid", "sessions", "rss_bytes", "cpu_seconds"}
    ] * 2
    assert status["modules"]["llm"]["workers"] == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "module_type: missing"),
        ({"module_type": "db"}, "module_type: expected llm, web, got 'db'"),
        ({"module_type": "llm", "config": []}, "config: expected object, got array"),
        ({"module_type": "llm", "config": {"workers": 99}}, "config: workers: expected 1 to 64"),
        ({"module_type": "web", "config": {"timeout": 3}}, "timeout: expected str, got int"),
        ({"module_type": "llm", "user_error": "yes"}, "user_error: expected bool, got str"),
    ],
)
@pytest.mark.parametrize("what", ["start", "restart"])
def test_a_bad_request_names_the_field(
    http: httpx.Client, what: str, body: dict[str, Any], expected: str
) -> None:
    response = http.post(f"/module/{what}", json=body)
    assert response.status_code == 400
    assert expected in response.json()["error"]
    assert http.get("/status").json()["llm_module"] == "stopped"


def test_a_run_without_modules_is_told_so(http: httpx.Client, service: RunningService) -> None:
    host_data = '{"node_address": "0x1", "tx_id": "0x2"}'
    with pytest.raises(RequestFailed, match="modules are required but not running"):
        service.start_run({}, is_sync=False, host_data=host_data)
    assert start(http, "llm").is_success and start(http, "web").is_success
    run_id = service.start_run({"exit": 3}, is_sync=False, host_data=host_data)
    status = service.client.get_run(run_id, wait=TIMEOUT).status
    assert status is not None and status.exit_code == 3
