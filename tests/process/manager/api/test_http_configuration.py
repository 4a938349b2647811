"""`/log/level`, `/manifest/reload` and `/env` over a real service.

Source: docs/spec/01-http-api.md#configuration.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator

import httpx
import psutil
import pytest

from genvm_manager.base.errors import BadRequest, RequestFailed
from tests.support.service import OBEDIENT, PROJECT, RunningService
from tests.support.waiting import TIMEOUT, wait_until

MAX_BODY = 300_000
SECRET = "sk-c0ffee-that-nobody-may-see"
ENDPOINTS = {"/log/level": b'{"level": "info"}', "/manifest/reload": b"",
             "/env": b'{"key": "A", "value": "b"}'}  # fmt: skip


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    config = f"{{max_body: {MAX_BODY}, http_workers: 2, http_threads: 8, permits: {{total: 4}}}}"
    with RunningService(config=config) as running:
        yield running


def refusal(response: httpx.Response, code: int = 400) -> str:
    assert response.status_code == code, response.text
    error = response.json()["error"]
    assert isinstance(error, str)
    return error


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_wrong_method_is_not_found(service: RunningService, method: str, path: str) -> None:
    assert refusal(service.http.request(method, path), 404) == "Not Found"


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("/log/level", b"{}", "level: missing"),
        ("/log/level", b'{"level": 5}', "level: expected str, got int"),
        ("/log/level", b'{"level": null}', "level: expected str, got null"),
        ("/log/level", b'{"level": "loud"}', "level: "),
        ("/log/level", b'{"level": "INFO"}', "level: "),
        ("/log/level", b"debug", "body: not JSON"),
        ("/log/level", b'["debug"]', "expected object, got array"),
        ("/log/level", '{"level": "débug"}'.encode("latin-1"), "body: not JSON"),
        ("/log/level", b"", "body: not JSON"),
        ("/env", b'{"value": "v"}', "key: missing"),
        ("/env", b'{"key": "K"}', "value: missing"),
        ("/env", b'{"key": 1, "value": "v"}', "key: expected str, got int"),
        ("/env", b'{"key": "K", "value": 1}', "value: expected str, got int"),
        ("/env", b'{"key": "K", "value": null}', "value: expected str, got null"),
        ("/env", b'{"key": "", "value": "v"}', "key: expected letters"),
        ("/env", b'{"key": "1K", "value": "v"}', "key: expected letters"),
        ("/env", b'{"key": "A-B", "value": "v"}', "key: expected letters"),
        ("/env", b'{"key": "A\\n", "value": "v"}', "key: expected letters"),
        ("/env", '{"key": "É", "value": "v"}'.encode(), "key: expected letters"),
        ("/env", b'{"key": "%s", "value": "v"}' % (b"K" * 257), "key: expected letters"),
        ("/env", b'{"key": "LD_PRELOAD", "value": "v"}', "key: LD_PRELOAD changes how"),
        ("/env", b'{"key": "PYTHONPATH", "value": "v"}', "key: PYTHONPATH changes how"),
        ("/env", b'{"key": "PATH", "value": "v"}', "key: PATH changes how"),
        ("/env", b'{"key": "K", "value": "a\\u0000b"}', "value: holds a NUL"),
        ("/env", b'{"key": "K", "value": "%s"}' % (b"v" * 65_537), "value: longer than 65536"),
        ("/env", b'{"key": "K", "value": "\\ud800"}', "body: not JSON"),
        ("/env", b'{"key": "K", "value": "\xff"}', "body: not JSON"),
    ],
)
def test_a_field_at_fault_is_named(
    service: RunningService, path: str, body: bytes, error: str
) -> None:
    assert refusal(service.http.post(path, content=body)).startswith(error)


@pytest.mark.parametrize("path", ["/log/level", "/env"])
def test_a_huge_body_is_413(service: RunningService, path: str) -> None:
    assert "body" in refusal(service.http.post(path, content=b" " * (MAX_BODY + 1)), 413)


def test_no_supervisor_is_503_and_the_next_one_knows_the_changes(
    service: RunningService,
) -> None:
    service.client.set_log_level("debug")
    service.client.set_permits(7)
    # Its parent is held, so that nobody starts another one before we have looked.
    service.process.suspend()
    try:
        service.half("supervisor").send_signal(signal.SIGKILL)
        wait_until(lambda: service.http.get("/status").status_code == 503)
        for path, body in ENDPOINTS.items():
            response = service.http.post(path, content=body)
            assert "cannot be reached" in refusal(response, 503)
            assert int(response.headers["Retry-After"]) >= 1
    finally:
        service.process.resume()
    wait_until(lambda: service.http.get("/readyz").is_success)
    wait_for_line(service, "log_level_set to=debug process=supervisor")
    assert service.client.permits().max == 7
    wait_for_level(service, "debug", 0)
    since = len(logged(service))
    for path, body in ENDPOINTS.items():
        assert service.http.post(path, content=body).is_success
    wait_for_level(service, "info", since)


def processes(service: RunningService) -> dict[str, str]:
    """How the log names each process of the service."""
    http = service.half("http")
    named = {"supervisor": "supervisor", "serve": f"serve pid={service.process.pid}"}
    named["master"] = f"http pid={http.pid}"
    for number, worker in enumerate(http.children()):
        named[f"worker {number}"] = f"http pid={worker.pid}"
    return named


def logged(service: RunningService) -> str:
    """The log with a space at each line's end, so that a pid is found in whole."""
    return re.sub(r"\n", " \n", service.log)


def wait_for_line(service: RunningService, wanted: str, since: int = 0) -> None:
    wait_until(lambda: f"{wanted} " in logged(service)[since:])


def wait_for_level(service: RunningService, level: str, since: int) -> None:
    """Until every process has said that it has the level."""
    for name in processes(service).values():
        wait_for_line(service, f"log_level_set to={level} process={name}", since)


@pytest.mark.parametrize("level", ["debug", "trace", "info"])
def test_a_level_reaches_every_process(service: RunningService, level: str) -> None:
    since = len(logged(service))
    response = service.http.post("/log/level", json={"level": level, "unknown": 1})
    assert response.json() == {"result": "log_level_set", "level": level}
    wait_for_level(service, level, since)


def test_a_worker_started_later_has_the_level(service: RunningService) -> None:
    since = len(logged(service))
    service.client.set_log_level("debug")
    wait_for_level(service, "debug", since)
    before = {process.pid for process in service.half("http").children()}
    psutil.Process(min(before)).kill()
    (new,) = wait_until(lambda: {p.pid for p in service.half("http").children()} - before)
    wait_for_line(service, f"debug Booting worker with pid: {new} process=http pid={new}")


def test_at_error_what_is_less_is_not_written(service: RunningService) -> None:
    service.client.set_log_level("error")
    run_id = service.start_run({"exit": 3})
    service.client.get_run(run_id, wait=TIMEOUT)
    assert f"run={run_id} " not in service.log
    service.client.set_log_level("info")
    run_id = service.start_run({"exit": 3})
    service.client.get_run(run_id, wait=TIMEOUT)
    assert f"info run_finished run={run_id} " in service.log


def test_lines_have_one_form_in_every_process() -> None:
    with RunningService(config="{http_workers: 1, http_threads: 8, log_format: json}") as service:
        service.client.set_log_level("debug")
        wait_until(lambda: service.log.count('"event":"log_level_set"') == 4)
        service.half("http").children()[0].kill()
        wait_until(lambda: '"level":"error"' in service.log)
        lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    for line in lines:
        assert list(line)[:3] == ["time", "level", "event"]
        assert line["level"] in ("trace", "debug", "info", "warn", "error")
    assert {line["process"] for line in lines} == {"supervisor", "http", "serve"}


ENTRY = """
  {version}:
    available_after: "2024-01-01T00:00:00Z"
    command: ["${{python}}", "{program}"]
"""


def write_manifest(service: RunningService, **versions: object) -> None:
    """A manifest with `v0_2_9=PROGRAM` for each version."""
    text = "executor_versions:" + "".join(
        ENTRY.format(version=version.replace("_", "."), program=program)
        for version, program in versions.items()
    )
    (service.folder / "manifest.yaml").write_text(text)


@pytest.fixture
def manifest(service: RunningService) -> Iterator[None]:
    yield
    write_manifest(service, v0_2_7=OBEDIENT)
    service.client.reload_manifest()


@pytest.mark.usefixtures("manifest")
def test_a_new_manifest_is_for_new_runs(service: RunningService) -> None:
    old = service.start_run({"sleep_ms": 600_000})
    write_manifest(service, v0_2_7=OBEDIENT, v0_2_9=OBEDIENT)
    assert service.http.get("/status").json()["executions"][str(old)]["version"] == "v0.2.7"
    reloaded = service.http.post("/manifest/reload")
    assert (reloaded.status_code, reloaded.json()) == (200, {"result": "manifest_reloaded"})
    new = service.start_run({"sleep_ms": 600_000})
    shown = service.http.get("/status").json()["executions"]
    assert (shown[str(old)]["version"], shown[str(new)]["version"]) == ("v0.2.7", "v0.2.9")
    for run_id in (old, new):
        service.client.cancel(run_id, grace_ms=0)
    run = service.client.get_run(old).status
    assert run is not None
    assert (run.version_major, run.version_minor) == (0, 2)


@pytest.mark.usefixtures("manifest")
@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"{", "manifest: not YAML"),
        (b"", "manifest: "),
        (b"executor_versions: 5", "manifest: executor_versions: expected object"),
        (b"executor_versions: {one: {available_after: x}}", "'one' is no v<x>.<y>.<z>"),
        (b"executor_versions: {v1.0.0: {}}", "available_after: missing"),
        (b"executor_versions: {v1.0.0: {available_after: soon}}", "v1.0.0.available_after: "),
        (
            b"executor_versions: {v1.0.0: {available_after: 2024-01-01T00:00:00Z,"
            b" command: ['${ENV[NOT_SET]}']}}",
            "v1.0.0.command: ${ENV[NOT_SET]} has no value here",
        ),
        (b"\xff\xfe", "utf-8"),
        (b"#" * (4 << 20) + b"#", "longer than 4194304 bytes"),
        (None, "No such file or directory"),
    ],
)
def test_a_bad_manifest_changes_nothing(
    service: RunningService, text: bytes | None, error: str
) -> None:
    path = service.folder / "manifest.yaml"
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text)
    assert error in refusal(service.http.post("/manifest/reload"), 500)
    with pytest.raises(RequestFailed, match="manifest"):
        service.client.reload_manifest()
    run = service.client.get_run(service.start_run(), wait=TIMEOUT).status
    assert run is not None
    assert run.exit_code == 0


@pytest.mark.usefixtures("manifest")
def test_a_variable_is_what_a_manifest_means_by_it(service: RunningService) -> None:
    write_manifest(service, v0_2_8="${ENV[PROGRAM_OF_THE_TEST]}")
    assert "${ENV[PROGRAM_OF_THE_TEST]} has no value" in refusal(
        service.http.post("/manifest/reload"), 500
    )
    body = {"key": "PROGRAM_OF_THE_TEST", "value": str(PROJECT / "nowhere.py"), "unknown": True}
    answer = service.http.post("/env", json=body)
    assert answer.json() == {"result": "env_var_set", "key": "PROGRAM_OF_THE_TEST"}
    service.client.set_env("PROGRAM_OF_THE_TEST", str(OBEDIENT))
    service.client.reload_manifest()
    run = service.client.get_run(service.start_run({"print": "me"}), wait=TIMEOUT).status
    assert run is not None
    assert run.stdout == "me"


def test_a_value_is_seen_nowhere(service: RunningService) -> None:
    service.client.set_log_level("trace")
    answer = service.http.post("/env", json={"key": "OPENAI_KEY", "value": SECRET})
    assert SECRET not in answer.text
    refused = service.http.post("/env", json={"key": "LD_KEY", "value": SECRET})
    assert SECRET not in refused.text
    run_id = service.start_run({"sleep_ms": 600_000})
    ours = [service.process, *service.process.children(recursive=True)]
    assert len(ours) >= 6
    for process in ours:
        assert SECRET not in str(process.environ()), process
    child = psutil.Process(service.client.status().executions[str(run_id)].pid)
    assert child in ours
    assert "OPENAI_KEY" not in child.environ()
    service.client.cancel(run_id, grace_ms=0)
    assert SECRET not in service.log
    assert "env_var_set key=OPENAI_KEY" in service.log
    for path in service.state.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    service.client.set_log_level("info")


def test_variables_are_bounded(service: RunningService) -> None:
    """Last of all: the supervisor has no room for another one after it."""
    answers = [
        service.http.post("/env", json={"key": f"K{number}", "value": "v"})
        for number in range(1_001)
    ]
    assert refusal(answers[-1]).startswith("key: 1000 variables are set already")
    service.client.set_env("K0", "another value")
    with pytest.raises(BadRequest, match="key: 1000 variables"):
        service.client.set_env("ONE_MORE", "v")
