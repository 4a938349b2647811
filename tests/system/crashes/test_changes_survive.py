"""What clients have changed is there again after the supervisor was killed, and on no disk."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from tests.support.providers import Say, provider
from tests.support.service import RunningService
from tests.support.waiting import TIMEOUT, wait_until

LITERAL = "sk-literal-0123456789"
VARIABLE = "sk-variable-0123456789"


def config(host: str) -> dict[str, Any]:
    models = {"m": {"supports_json": True}}
    backend = {"host": host, "provider": "openai-compatible", "models": models}
    backends = {"a": {**backend, "key": LITERAL}, "b": {**backend, "key": "${ENV[THE_KEY]}"}}
    return {"workers": 1, "backends": backends}


def llm(service: RunningService) -> dict[str, Any]:
    found = service.http.get("/status").json()["modules"]["llm"]
    assert isinstance(found, dict)
    return found


def files_with(folder: Path, text: str) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if text.encode() in path.read_bytes()]


def kill_the_supervisor(service: RunningService) -> None:
    with service.without_supervisor():
        pass


def test_modules_variables_permits_and_level_come_back() -> None:
    with provider("openai-compatible") as played, RunningService() as service:
        played.by_default = lambda _: Say("yes")
        http = service.http
        assert http.post("/env", json={"key": "THE_KEY", "value": VARIABLE}).is_success
        assert http.post("/permits", json={"permits": 9}).is_success
        assert http.post("/log/level", json={"level": "debug"}).is_success
        started = {"module_type": "Llm", "config": config(played.host)}
        reply = http.post("/module/start", json=started, timeout=TIMEOUT)
        assert reply.json() == {"result": "module_started"}
        before = llm(service)["workers"]

        kill_the_supervisor(service)

        wait_until(lambda: llm(service)["state"] == "running")
        assert [each["pid"] for each in llm(service)["workers"]] != [e["pid"] for e in before]
        assert http.get("/permits").json()["max"] == 9
        assert "llm_backend_dropped" not in service.log
        for secret in (LITERAL, VARIABLE):
            assert files_with(service.folder, secret) == []

        assert http.post("/module/stop", json={"module_type": "llm"}, timeout=TIMEOUT).is_success
        kill_the_supervisor(service)
        assert llm(service)["state"] == "stopped"


def test_after_a_planned_stop_all_begins_anew() -> None:
    with RunningService() as service:
        web = {"workers": 1, "webdriver_host": "http://127.0.0.1:9"}
        body = {"module_type": "web", "config": web}
        assert service.http.post("/module/start", json=body, timeout=TIMEOUT).is_success
        assert service.stop(signal.SIGTERM) == 0
        service.start()
        assert service.http.get("/status").json()["web_module"] == "stopped"
