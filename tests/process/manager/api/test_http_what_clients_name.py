"""What clients may name: variables of ours, addresses to listen at, programs, hosts of runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from genvm_manager.protocol import calldata
from tests.support.providers import Fail, PlayedProvider, provider
from tests.support.service import RunningService, run_request
from tests.support.studio import free_port

SECRET = "sk-nobody-but-the-operator"
LISTED = "sk-for-clients-too"
HELLO = {"system_message": None, "user_message": "hello", "temperature": 0.5, "max_tokens": 9}
SETTINGS = """
client_variables: [LISTED]
client_bind_addresses: ["0.0.0.0:{port}"]
http_workers: 1
"""
PORT = free_port()


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    variables = {"HIDDEN": SECRET, "LISTED": LISTED, "NAMED": LISTED}
    with RunningService(
        "--no-precompile", config=SETTINGS.format(port=PORT), environment=variables
    ) as running:
        yield running


@pytest.fixture
def played() -> Iterator[PlayedProvider]:
    with provider("openai-compatible", may_be_asked_wrongly=True) as one:
        yield one


def check(service: RunningService, played: PlayedProvider, key: str, **changed: Any) -> Any:
    config = {"host": played.host, "provider": "openai-compatible", "model": "m", "key": key}
    body = {"configs": [config | changed], "test_prompts": [HELLO]}
    return service.http.post("/llm/check", json=body, timeout=60)


def start(service: RunningService, config: dict[str, Any], kind: str = "llm") -> Any:
    body = {"module_type": kind, "config": config}
    answers = [service.http.post(f"/module/{way}", json=body) for way in ("start", "restart")]
    assert len({answer.status_code for answer in answers}) == 1
    return answers[0]


@pytest.mark.parametrize(
    "text",
    [
        "${ENV[HIDDEN]}",
        "${ENV[NOT_SET_AT_ALL]}",
        "x${ENV[LISTED]}${ENV[HIDDEN]}",
        "${ENV[PATH]}",
        "${ENV[listed]}",
        "${ENV[ LISTED]}",
        "${ENV[]}",
        "${ENV[${ENV[HIDDEN]}]}",
        "${ENV[" + "A" * 5_000 + "]}",
    ],
)
def test_a_variable_that_is_not_for_clients_is_an_error(
    service: RunningService, played: PlayedProvider, text: str
) -> None:
    backend = {"host": played.host, "provider": "ollama", "models": {"m": {}}}
    answers = {
        "configs[0].key": check(service, played, text),
        "backends.a.key": start(service, {"backends": {"a": backend | {"key": text}}}),
        "backends.a.host": start(service, {"backends": {"a": backend | {"host": text}}}),
        "extra.deep.0.x-header": start(service, {"extra": {"deep": [{"x-header": text}]}}),
    }
    for field, answer in answers.items():
        error = answer.json()["error"]
        assert answer.status_code == 400, error
        assert field.replace(".0", "") in error or field in error
        assert "client_variables" in error
        assert SECRET not in answer.text
        assert len(error) < 500
    assert not played.asked
    assert SECRET not in service.log
    assert service.http.get("/status").json()["llm_module"] == "stopped"


def test_what_is_no_variable_stays_as_it_is_written(
    service: RunningService, played: PlayedProvider
) -> None:
    played.by_default = lambda _: Fail(500, "no")
    for text in ("${env[HIDDEN]}", "$ENV[HIDDEN]", "${ENV[HIDDEN]"):
        assert check(service, played, text).json()[0]["error"].startswith("HTTP 401")


def test_listed_variables_those_of_files_and_those_that_were_set_are_filled_in(
    service: RunningService, played: PlayedProvider
) -> None:
    played.key = LISTED
    assert check(service, played, "${ENV[LISTED]}").json()[0]["available"]
    assert check(service, played, "${ENV[NAMED]}").status_code == 400
    backend = {"host": "http://h", "provider": "ollama", "key": "${ENV[NAMED]}", "models": {}}
    file = service.folder / "genvm-module-llm.yaml"
    file.write_text(yaml.safe_dump({"backends": {"theirs": backend}}))
    try:
        assert check(service, played, "${ENV[NAMED]}").json()[0]["available"]
    finally:
        file.unlink()
    assert check(service, played, "${ENV[SET_SINCE]}").status_code == 400
    service.client.set_env("SET_SINCE", LISTED)
    assert check(service, played, "${ENV[SET_SINCE]}").json()[0]["available"]


def test_only_of_hosts_that_the_operator_names_more_than_the_status_is_said(
    service: RunningService, played: PlayedProvider
) -> None:
    played.by_default = lambda _: Fail(418, "words of an inner service")
    key = played.key
    assert check(service, played, key).json()[0]["error"] == "HTTP 418"
    closed = check(service, played, key, host="http://127.0.0.1:1").json()[0]["error"]
    assert closed == "no connection, or the connection broke"
    backend = {"host": f"{played.host}/v1", "provider": "ollama", "models": {}}
    file = service.folder / "genvm-module-llm.yaml"
    file.write_text(yaml.safe_dump({"backends": {"theirs": backend}}))
    try:
        assert "words of an inner service" in check(service, played, key).json()[0]["error"]
    finally:
        file.unlink()


@pytest.mark.parametrize(
    "address",
    [
        {"bind_address": "0.0.0.0:9"},
        {"bind_address": f":{PORT}"},
        {"bind_address": f"[::]:{PORT}"},
        {"bind_address": "192.0.2.1:80"},
        {"bind_address": "some.name:80"},
        {"host": "0.0.0.0", "port": 9},
        {"host": "", "port": PORT},
    ],
)
def test_a_client_has_a_module_listen_on_loopback_alone(
    service: RunningService, address: dict[str, Any]
) -> None:
    answer = start(service, {"backends": {}, **address})
    assert answer.status_code == 400
    assert f"{next(iter(address))}: clients may" in answer.json()["error"]
    assert "client_bind_addresses" in answer.json()["error"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_client_has_a_module_listen_on_loopback_or_where_the_settings_say(
    service: RunningService, host: str
) -> None:
    body = {"module_type": "llm", "config": {"bind_address": f"{host}:{PORT}"}}
    assert service.http.post("/module/start", json=body).json() == {"result": "module_started"}
    try:
        request = run_request(host=f"tcp://127.0.0.1:{PORT}")
        answer = service.http.post("/genvm/run", content=calldata.encode(request))
        assert answer.status_code == 400
        assert "host: " in answer.json()["error"]
        assert "is a module of this service" in answer.json()["error"]
    finally:
        service.http.post("/module/stop", json={"module_type": "llm"})


def test_a_client_names_no_program_and_no_proxy(service: RunningService) -> None:
    for kind, name, value in (
        ("web", "browser_path", "/bin/true"),
        ("llm", "proxy", "http://127.0.0.1:9"),
    ):
        answer = start(service, {name: value}, kind=kind)
        assert answer.status_code == 400
        assert f"{name}: clients may not set this" in answer.json()["error"]


@pytest.mark.parametrize("form", ["calldata", "json"])
@pytest.mark.parametrize("spelt", ["tcp", "name", "mapped", "socket", "dots", "link", "scratch"])
def test_a_run_s_host_is_no_socket_of_ours_and_nothing_is_recorded(
    service: RunningService, form: str, spelt: str
) -> None:
    port = service.url.rpartition(":")[2]
    if spelt == "link" and not (service.folder / "link").exists():
        (service.folder / "link").symlink_to(service.state)
    host = {
        "tcp": f"tcp://0.0.0.0:{port}",
        "name": f"tcp://LOCALHOST.:{port}",
        "mapped": f"tcp://[::ffff:127.0.0.1]:{port}",
        "socket": f"unix://{service.state}/supervisor.sock",
        "dots": f"unix://{service.state}/../state/supervisor.sock",
        "link": f"unix://{service.folder}/link/supervisor.sock",
        "scratch": f"unix://{service.state}/tmp/any.sock",
    }[spelt]
    request = run_request(host=host)
    if form == "calldata":
        answer = service.http.post("/genvm/run", content=calldata.encode(request))
    else:
        names = ("contract_address", "sender_address", "origin_address")
        request["message"] |= dict.fromkeys(names, "0x" + "01" * 20)
        request["calldata"] = ""
        answer = service.http.post("/genvm/run", content=json.dumps(request))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].startswith("host: ")
    assert not service.client.status().executions


def test_runs_have_their_hosts_where_the_settings_say(service: RunningService) -> None:
    elsewhere = f"unix://{service.folder}/node/host.sock"
    with RunningService(
        "--no-precompile", config=f"allowed_hosts_of_runs: ['unix://{service.folder}/n*']"
    ) as strict:

        def ask(host: str) -> int:
            content = calldata.encode(run_request(host=host))
            return strict.http.post("/genvm/run", content=content).status_code

        assert ask(elsewhere) == 200
        assert ask(f"unix://{service.folder}/other.sock") == 400
        assert ask("tcp://127.0.0.1:1") == 400
