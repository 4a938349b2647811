"""No key of a provider is to be seen, whatever happens to the service that uses it."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.providers import (
    Cut,
    Fail,
    Hang,
    PlayedProvider,
    Raw,
    Reply,
    Say,
    module_config,
    provider,
)
from tests.support.served_node import LLM, NO_BROWSER, WEB, ServedContract, ServedNode, served_node
from tests.support.service import processes_of
from tests.support.waiting import TIMEOUT, wait_until

SOURCE = """# { "Depends": "py-genlayer:test" }
import typing
from genlayer import *

class Prompter(gl.Contract):
    def __init__(self):
        pass

    @gl.public.write
    def ask(self, prompts: int) -> typing.Any:
        def one(number):
            try:
                return gl.nondet.exec_prompt(f"prompt {number}")
            except gl.nondet.NondetException as error:
                print(error)
                return [error.args[0]["causes"], error.args[0]["ctx"]]
        return gl.eq_principle.strict_eq(lambda: [one(number) for number in range(prompts)])

    @gl.public.write
    def uncaught(self) -> None:
        gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("hello"))
"""

INHERITED = "sk-live-inherited-0fA1eB2dC3cD4bE5aF6f7e8d9c-end"
SET = "sk-live-set-by-http-1aA1eB2dC3cD4bE5aF6f7e8d9c-end"
WRITTEN = "sk-live-in-the-config-2bA1eB2dC3cD4bE5aF6f7e8d9c-end"
CHECKED = "sk-live-for-a-check-3cA1eB2dC3cD4bE5aF6f7e8d9c-end"
KEYS = {"one": INHERITED, "two": SET, "three": WRITTEN}
IN_CONFIG = {"one": "${ENV[INHERITED_KEY]}", "two": "${ENV[SET_KEY]}", "three": WRITTEN}
"""How the configuration gives each backend its key."""

Played = dict[str, PlayedProvider]


def spellings() -> Iterator[bytes]:
    """Each key as it may be found: whole, its telling part, its beginning, in base64."""
    for key in (*KEYS.values(), CHECKED):
        yield from (key.encode(), key[-20:].encode(), key[:24].encode())
        yield base64.b64encode(key.encode())[4:-4]


def assert_hidden(content: bytes, place: object) -> None:
    for spelling in spellings():
        assert spelling not in content, (place, spelling)


class Listener:
    """Keeps what the service answers over HTTP, each reply with its path."""

    def __init__(self, client: httpx.Client) -> None:
        self.answers: list[tuple[str, bytes]] = []
        client.event_hooks["response"].append(self._keep)

    def _keep(self, reply: httpx.Response) -> None:
        self.answers.append((f"{reply.request.url.path} {reply.status_code}", reply.read()))


@pytest.fixture
def played() -> Iterator[Played]:
    kinds = {"one": "openai-compatible", "two": "anthropic", "three": "google"}
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(provider(kind, KEYS[name], may_be_asked_wrongly=True))
            for name, kind in kinds.items()
        }


def backends(played: Played) -> dict[str, Any]:
    return {
        name: one.backend(key=IN_CONFIG[name], timeout="5s", priority=index)
        for index, (name, one) in enumerate(played.items())
    }


def bad_replies(key: str) -> list[Reply]:
    """What providers do that have little discretion."""
    return [
        Fail(401, f"Incorrect API key provided: {key}"),
        Fail(403, f"{key[:24]}*** is blocked"),
        Fail(400, f"bad header: Bearer {key}"),
        Fail(429, f"{key} is used up", retry_after="60"),
        Fail(500, f"crashed while {key} was read"),
        Raw(f"<html>{key}</html>".encode()),
        Cut(),
        Cut(in_body=True),
        Hang(),
    ]


def ask_each(contract: ServedContract, played: Played) -> None:
    """A good answer of each, then all that can go wrong, caught by the contract and not."""
    asking = {}
    for name, one in played.items():
        answers = bad_replies(one.key)
        one.do(Say("fine"), *answers, Fail(401, f"wrong: {one.key}"))
        count = 1 + len(answers) + 1
        asking[name] = contract.begin("ask", count, host_data={"studio_llm_id": name})
    for run_id in asking.values():
        good, *failed = contract.node.end(run_id).returned()
        assert good == "fine"
        assert {causes for ((causes,), _) in failed} == {"NO_PROVIDER_FOR_PROMPT"}
    for one in played.values():
        one.do(Fail(500, f"crashed while {one.key} was read"))
    assert contract.lead("uncaught").result.data == "exit_code 1"


def check_each(node: ServedNode, played: Played) -> None:
    prompt = {"system_message": None, "user_message": "hi", "temperature": 0, "max_tokens": 9}
    keys = {name: key for name, key in IN_CONFIG.items() if name != "three"} | {"three": CHECKED}
    configs = [
        {"host": one.host, "provider": one.speaks.provider, "model": "m", "key": keys[name]}
        for name, one in played.items()
    ]
    for name in ("one", "two"):
        played[name].do(Fail(500, f"crashed while {KEYS[name]} was read"))
    configs.append({**configs[0], "key": CHECKED + "\r\n x"})
    configs.append({**configs[0], "host": f"http://user:{CHECKED}@127.0.0.1"})
    rows = node.post("/llm/check", configs=configs, test_prompts=[prompt]).json()
    assert [row["available"] for row in rows] == [False] * len(configs)
    assert rows[2]["error"] == "HTTP 401: the provider refuses the key"
    bad = [{**configs[0], "provider": 5}]
    assert node.post("/llm/check", configs=bad, test_prompts=[prompt]).status_code == 400


def misplace_keys(node: ServedNode, played: Played) -> None:
    """Keys where others things belong: what is wrong is said, and the module that runs goes on."""
    variable = "${ENV[SET_KEY]}"
    one = {"provider": "ollama", "host": "http://127.0.0.1:9", "models": {"m": {}}}
    misplaced: dict[str, dict[str, Any]] = {
        "workers": {"workers": variable},
        "bind_address": {"bind_address": variable},
        "clients may have": {"bind_address": f"{variable}:80"},
        "port": {"host": "localhost", "port": variable},
        "timeout": {"timeout": f"x{variable}"},
        "provider": {"backends": {"a": {**one, "provider": variable}}},
        "priority": {"backends": {"a": {**one, "meta": {"priority": variable}}}},
    }
    for place, config in misplaced.items():
        body = {"workers": 1, **module_config({}), **config}
        answer = node.post("/module/restart", module_type=LLM, config=body)
        assert answer.status_code in (400, 500)
        assert place in answer.json()["error"]
    web = {"workers": 1, "timeout": f"x{variable}"}
    assert node.post("/module/restart", module_type=WEB, config=web).status_code == 400
    assert node.post("/env", key="LD_SECRET", value=SET).status_code == 400
    assert node.post("/module/start", module_type=LLM, config=WRITTEN).status_code == 400


def crash_everything(node: ServedNode, contract: ServedContract, played: Played) -> None:
    """The worker in mid-prompt, then the processes of HTTP and the supervisor, by bad signals."""
    service = node.service
    run_id = begin_to_hang(contract, played["three"])
    (busy,) = [each["pid"] for each in node.workers() if each["sessions"]]
    look_at_processes(service.folder, executors=1)
    os.kill(busy, signal.SIGABRT)
    node.end(run_id).internal_error()
    (http_worker, *_) = service.half("http").children()
    http_worker.send_signal(signal.SIGSEGV)
    wait_until(lambda: http_worker not in service.half("http").children())
    begin_to_hang(contract, played["three"])
    service.half("supervisor").send_signal(signal.SIGSEGV)
    wait_until(lambda: service.http.get("/readyz").is_success)
    wait_until(lambda: node.status()["llm_module"] == "running")
    wait_until(lambda: node.status()["web_module"] == "running")
    for name in played:
        host_data = {"studio_llm_id": name}
        assert contract.lead("ask", 1, host_data=host_data).returned() == ["fine"]


def begin_to_hang(contract: ServedContract, played: PlayedProvider) -> int:
    """Start a run that is in mid-prompt then; its id."""
    asked = len(played.asked)
    played.do(Hang())
    run_id = contract.begin("ask", 1)
    wait_until(lambda: len(played.asked) > asked)
    return run_id


def look_at_processes(folder: Path, executors: int) -> None:
    """Command lines and environments; only what the service was started with may be inherited, and
    by executors not even that. None of them may leave a core."""
    found = 0
    for process in processes_of(folder):
        proc = Path(f"/proc/{process.pid}")
        command, environment = (proc / "cmdline").read_bytes(), (proc / "environ").read_bytes()
        if is_executor := b"--genvm-id" in command:
            found += 1
        assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0), process
        assert_hidden(command, process)
        given = b"" if is_executor else f"INHERITED_KEY={INHERITED}".encode()
        assert_hidden(environment.replace(given, b"") if given else environment, process)
    assert found == executors


def read_everything(node: ServedNode) -> None:
    """Whatever may be asked for; the replies are looked at in the end."""
    executions = node.status()["executions"]
    assert len(executions) > 8
    for run_id in executions:
        node.service.http.get(f"/genvm/{run_id}")
        for field in ("stdout", "stderr", "genvm_log"):
            node.service.http.get(f"/genvm/{run_id}/artifact?field={field}")
    for path in ("/", "/metrics", "/permits", "/healthz", "/openapi.json"):
        assert node.service.http.get(path).is_success
    with httpx.stream("GET", f"{node.service.url}/events", timeout=TIMEOUT) as events:
        assert_hidden(next(events.iter_bytes()), "/events")


def look_at_files(folder: Path) -> None:
    """The log at its finest, the store, and whatever else lies there."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"log", "runs.db", "runs.db-wal"} <= {path.name for path in files}
    for path in files:
        assert_hidden(path.read_bytes(), path)


def test_no_key_is_to_be_seen(played: Played) -> None:
    settings = "log_level: trace\nclient_variables: [INHERITED_KEY]"
    with served_node(settings, INHERITED_KEY=INHERITED) as node:
        heard = Listener(node.service.http)
        node.post("/env", key="SET_KEY", value=SET)
        node.start(WEB, NO_BROWSER)
        node.start(LLM, module_config(backends(played), vm_count=5))
        contract = node.deploy(SOURCE)
        ask_each(contract, played)
        check_each(node, played)
        misplace_keys(node, played)
        crash_everything(node, contract, played)
        read_everything(node)
        look_at_files(node.service.folder)
    for path, body in heard.answers:
        assert_hidden(body, path)
    assert len(heard.answers) > 40
