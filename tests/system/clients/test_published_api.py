"""The published API's own examples, as they stand, at a real service on a fresh state folder.

The service has a network of its own, where port 8080 is free and no key of a provider is set.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import yaml

from genvm_manager.manager.api.declaration.content import BYTES, JSON, Content, Plain
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.openapi.document import document
from genvm_manager.manager.api.operations import OPERATIONS
from genvm_manager.workers.genvm.cli import default_cache_dir
from tests.support.service import RunningService

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"),
    reason="making a network namespace takes root, unshare and ip",
)

ALONE = ("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh")
HERE = "http://localhost"
SETTINGS = f"""
permits: {{total: 8}}
http_workers: 1
drain_timeout: 1s
executor_env: {{GENVM_CACHE_DIR: '{default_cache_dir()}'}}
"""
NO_KEYS = (
    "no usable LLM backend: set OPENAIKEY, ANTHROPICKEY, GEMINIKEY or OPENROUTERKEY "
    "(POST /env) and restart the module"
)
EXAMPLE = {"module_type": "llm", "config": {"host": "localhost", "port": 8080}}
CONTRACT = b"""\
# { "Depends": "py-genlayer:test" }
from genlayer import *

class Hello(gl.Contract):
    def __init__(self):
        pass

    @gl.public.view
    def greet(self) -> str:
        return "hello"
"""

LLM_CONFIG = """
bind_address: 127.0.0.1:3031        # null: no listener
timeout: 3m
backends:
  openai:
    enabled: true
    host: https://api.openai.com
    provider: openai-compatible     # openai-compatible | anthropic | google | ollama
    key: ${ENV[OPENAIKEY]}
    models: { gpt-4o: { supports_json: true, supports_image: true, use_max_completion_tokens: false, enabled: true, timeout: 60s, meta: {} } }
    meta: { priority: 10 }
"""  # noqa: E501


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    subprocess.run(
        [sys.executable, "-m", "genvm_manager.workers.genvm", "check", "--precompile"], check=True
    )


@contextmanager
def fresh_service() -> Iterator[httpx.Client]:
    """A client of a service that nobody has used before."""
    with tempfile.TemporaryDirectory(prefix="genvm-http-") as folder:
        socket = f"{folder}/http"
        service = RunningService(
            "--no-precompile", "--socket", socket, config=SETTINGS, executor=None
        )
        try:
            service.start(before=ALONE)
            transport = httpx.HTTPTransport(uds=socket)
            with httpx.Client(transport=transport, base_url=HERE, timeout=60) as client:
                yield client
            assert service.stop() == 0, service.log
            assert "Traceback" not in service.log, service.log
            assert "audit_violation" not in service.log, service.log
            service.assert_nothing_left()
        finally:
            service.discard()


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with fresh_service() as client:
        yield client


@pytest.fixture(scope="module")
def shared() -> Iterator[httpx.Client]:
    with fresh_service() as client:
        yield client


def posted(http: httpx.Client, path: str, body: Any) -> tuple[int, Any]:
    """As curl sends it: without a content type of JSON."""
    answer = http.post(path, content=body if isinstance(body, bytes) else json.dumps(body))
    return answer.status_code, answer.json()


def test_the_llm_module_starts_with_the_published_example(http: httpx.Client) -> None:
    assert posted(http, "/module/start", EXAMPLE) == (200, {"result": "module_started"})
    status = http.get("/status").json()
    assert status["llm_module"] == "running"
    assert status["modules"]["llm"]["reason"] == NO_KEYS
    assert posted(http, "/module/start", EXAMPLE) == (500, {"error": "module_already_running"})
    assert posted(http, "/module/restart", EXAMPLE) == (200, {"result": "module_restarted"})
    stop = {"module_type": "llm"}
    assert posted(http, "/module/stop", stop) == (200, {"result": "module_stopped"})
    assert posted(http, "/module/stop", stop) == (200, {"result": "module_not_running"})
    assert http.get("/status").json()["llm_module"] == "stopped"


def test_a_port_that_is_taken_leaves_the_other_module_alone(http: httpx.Client) -> None:
    assert posted(http, "/module/start", EXAMPLE)[0] == 200
    web = {"module_type": "Web", "config": {"host": "localhost", "port": 8080}}
    code, said = posted(http, "/module/start", web)
    assert code == 500
    assert said["error"].startswith("cannot listen at localhost:8080: Address already in use")
    status = http.get("/status").json()
    assert (status["llm_module"], status["web_module"]) == ("running", "stopped")
    assert status["modules"]["web"]["reason"] == said["error"]


def test_the_module_examples(http: httpx.Client) -> None:
    assert posted(http, "/module/start", {"module_type": "Llm"})[0] == 200
    assert posted(http, "/module/stop", {"module_type": "LLM"})[0] == 200
    config = yaml.safe_load(LLM_CONFIG)
    code, said = posted(http, "/module/start", {"module_type": "llm", "config": config})
    assert (code, "set OPENAIKEY (POST /env)" in said["error"]) == (500, True)
    empty = {"module_type": "llm", "config": {"backends": {}}}
    assert posted(http, "/module/start", empty)[0] == 500
    assert http.get("/status").json()["llm_module"] == "stopped"
    allowed = empty | {"allow_empty_backends": True}
    assert posted(http, "/module/start", allowed)[0] == 200
    assert posted(http, "/env", {"key": "OPENAIKEY", "value": "sk-none"}) == (
        200,
        {"result": "env_var_set", "key": "OPENAIKEY"},
    )
    answer = posted(http, "/module/restart", {"module_type": "llm", "config": config})
    assert answer == (200, {"result": "module_restarted"})
    assert http.get("/status").json()["modules"]["llm"]["reason"] is None
    web = {"module_type": "web", "config": None, "allow_empty_backends": False, "user_error": True}
    assert posted(http, "/module/start", web) == (200, {"result": "module_started"})


def test_the_other_requests(http: httpx.Client) -> None:
    assert http.get("/healthz").is_success and http.get("/readyz").is_success
    assert http.get("/metrics").is_success
    for level in ("trace", "debug", "info", "warn", "error"):
        said = (200, {"result": "log_level_set", "level": level})
        assert posted(http, "/log/level", {"level": level}) == said
    assert posted(http, "/manifest/reload", b"") == (200, {"result": "manifest_reloaded"})
    assert posted(http, "/manifest/reload", {}) == (200, {"result": "manifest_reloaded"})
    permits = {"permits": 8, "max": 8, "in_use": 0, "queued": 0}
    assert http.get("/permits").json() == permits
    assert posted(http, "/permits", {"permits": 4}) == (
        200,
        {"result": "permits_set", "permits": 4},
    )
    assert posted(http, "/permits", {"permits": 1})[0] == 400
    for code in ("wasm_trap", "exit_code 1", "invalid_contract", "OOM", "OOM storage", "timeout"):
        assert http.get("/vm-error/describe", params={"error": code}).json()["description"]
    assert http.get("/vm-error/describe?error=OOMx").json() == {"description": None}
    assert http.get("/genvm/5").json() == {"genvm_id": 5, "status": None}
    assert http.delete("/genvm/5?wait_timeout_ms=30000").status_code == 404
    assert http.get("/genvm/5").json() == {"genvm_id": 5, "status": None}
    assert http.delete("/genvm/5").json()["error"] == "GenVM with id 5 not found"
    assert http.put("/permits").json() == {"error": "Not Found"}


def test_checks_need_no_module(http: httpx.Client) -> None:
    config = {
        "host": "https://api.openai.com",
        "provider": "openai-compatible",
        "model": "gpt-4o",
        "key": "${ENV[OPENAIKEY]}",
    }
    prompt: dict[str, Any] = {
        "system_message": None,
        "user_message": "hi",
        "temperature": 0.7,
        "images": [],
        "max_tokens": 10,
        "use_max_completion_tokens": False,
    }
    code, rows = posted(http, "/llm/check", {"configs": [config], "test_prompts": [prompt]})
    assert (code, len(rows), rows[0]["available"]) == (200, 1, False)
    assert "OPENAIKEY" in rows[0]["error"]


def test_contracts(http: httpx.Client) -> None:
    when = {"Deployment-Timestamp": "2026-01-31T12:00:00Z"}
    found = http.post("/contract/detect-version", content=CONTRACT, headers=when)
    assert found.json() == {"specified_major": 0}
    writes = http.post("/contract/pre-deploy-writes", content=CONTRACT, headers=when).json()
    (_, length), (_, code) = writes["writes"]
    assert (b64decode(length), b64decode(code)) == (len(CONTRACT).to_bytes(4, "little"), CONTRACT)
    schema = http.post("/genvm/run/readonly", content=CONTRACT, headers=when)
    assert "greet" in json.loads(schema.json()["schema"])["methods"]
    for path in ("/contract/detect-version", "/contract/pre-deploy-writes", "/genvm/run/readonly"):
        assert http.post(path, content=CONTRACT).status_code == 400


def examples(operation: Operation) -> Iterator[Content | None]:
    yield from operation.bodies or (None,)


def body_of(body: Content | None) -> bytes | None:
    if body is None:
        return None
    if body.media_type == JSON:
        return json.dumps(body.example).encode()
    if isinstance(body.example, str):
        return body.example.encode()
    assert isinstance(body, Plain)
    assert body.media_type == BYTES
    return b64decode(body.description.split("`")[1])


ALL = [(each, body) for each in OPERATIONS for body in examples(each)]


@pytest.mark.parametrize(
    ("operation", "body"), ALL, ids=[f"{o.name}-{b.media_type if b else ''}" for o, b in ALL]
)
def test_each_example_of_the_document_is_answered_as_it_says(
    shared: httpx.Client, operation: Operation, body: Content | None
) -> None:
    path, query, headers = operation.path, dict[str, Any](), dict[str, str]()
    for each in operation.parameters:
        if each.place == "path":
            path = path.replace(f"{{{each.name}}}", str(each.example))
        elif each.place == "query":
            query[each.name] = each.example
        else:
            headers[each.name] = each.example
    url = f"{path}?{urlencode(query)}" if query else path
    with shared.stream(operation.method, url, headers=headers, content=body_of(body)) as answer:
        first = next(answer.iter_bytes())
    described = document(OPERATIONS)["paths"][operation.path][operation.method.lower()]["responses"]
    is_about_a_run = "{genvm_id}/artifact" in operation.path or operation.method == "DELETE"
    assert answer.status_code == (404 if is_about_a_run else 200), first
    assert str(answer.status_code) in described
