"""What a node asks about contracts and their errors (docs/spec/01-http-api.md#contracts; runs)."""

from __future__ import annotations

import base64
import gzip
import hashlib
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from genvm_manager.base.errors import BadRequest, RequestFailed
from genvm_manager.protocol.contract.vm_errors import describe
from tests.support.service import RunningService

MAX_BODY = 100_000
DETECT = "/contract/detect-version"
WRITES = "/contract/pre-deploy-writes"
BOTH = pytest.mark.parametrize("path", [DETECT, WRITES])
TIMESTAMP = "Deployment-Timestamp"
LATER = "2026-06-01T00:00:00Z"
NOT_UTF8 = b"# v1.0.0 \xff\xfe\n"

MANIFEST = """
executor_versions:
  v0.2.7: {available_after: 2024-01-01T00:00:00Z, command: [/bin/false]}
  v1.0.0: {available_after: 2025-01-01T00:00:00Z, command: [/bin/false]}
  v3.0.0: {available_after: 2026-01-01T00:00:00Z, command: [/bin/false]}
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    manifest = tmp_path_factory.mktemp("manifest") / "manifest.yaml"
    manifest.write_text(MANIFEST)
    config = f"{{max_body: {MAX_BODY}, http_workers: 1}}"
    options = ("--manifest-path", str(manifest))
    with RunningService(*options, config=config, executor=None) as running:
        yield running


def post(service: RunningService, path: str, code: bytes, at: str = LATER) -> httpx.Response:
    return service.http.post(path, content=code, headers={TIMESTAMP: at})


@pytest.mark.parametrize(
    ("code", "at", "major"),
    [
        (b'# { "Depends": "py-genlayer:test" }', LATER, 0),
        (b"# v0.2.0\n# { }", LATER, 0),
        (b"# v1.0.0\n# { }", LATER, 1),
        (b"# v2.0.0-rc1\n# { }", LATER, 2),
        (b"# v9.0.0\n# { }", LATER, 3),
        (b"# v9.0.0\n# { }", "2025-12-31T23:59:59Z", 1),
        (b"# v9.0.0\n# { }", "2026-01-01T01:00:00+02:00", 1),
        (b"# v9.0.0\n# { }", "2024-01-01T00:00:00Z", 0),
        (b"# vnext\n# { }", LATER, 3),
        (b"\0asm\1\0\0\0", LATER, 0),
        (b"\0asm\1\0\0\0\0\x12\x0dgenvm.versionv1.2", LATER, 1),
        (NOT_UTF8, LATER, 0),
        (b"PK\x03\x04", LATER, 0),
        (b"", LATER, 0),
    ],
)
def test_the_major_is_detected(service: RunningService, code: bytes, at: str, major: int) -> None:
    response = post(service, DETECT, code, at)
    assert (response.status_code, response.json()) == (200, {"specified_major": major})


@pytest.mark.parametrize("code", [b"", b"# v0.1.0\n", NOT_UTF8, b"\0" * MAX_BODY])
def test_major_0_gives_two_writes_to_the_code_slot(service: RunningService, code: bytes) -> None:
    slot = hashlib.sha3_256(bytes(32) + (1).to_bytes(4, "little")).digest()
    response = post(service, WRITES, code)
    assert response.status_code == 200
    (written,) = response.json().values()
    assert [[base64.b64decode(part) for part in write] for write in written] == [
        [slot + b"\0\0\0\0", len(code).to_bytes(4, "little")],
        [slot + b"\4\0\0\0", code],
    ]


def test_writes_of_a_major_without_a_rule_are_refused(service: RunningService) -> None:
    response = post(service, WRITES, b"# v1.0.0\n# { }")
    assert response.status_code == 400
    assert "major 1" in response.json()["error"]
    assert post(service, WRITES, b"# v1.0.0\n# { }", "2024-06-01T00:00:00Z").is_success


@BOTH
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "x/y"])
def test_a_body_is_code_whatever_its_type(service: RunningService, path: str, kind: str) -> None:
    headers = {TIMESTAMP: LATER, "Content-Type": kind}
    code = b"# v0.1.0\nx=1&y=%41"
    assert (
        service.http.post(path, content=code, headers=headers).content
        == post(service, path, code).content
    )


@BOTH
@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, "missing"),
        ({TIMESTAMP: ""}, "expected RFC 3339"),
        ({TIMESTAMP: "yesterday"}, "expected RFC 3339"),
        ({TIMESTAMP: "1767225600"}, "expected RFC 3339"),
        ({TIMESTAMP: "2026-06-01T00:00:00"}, "expected RFC 3339"),
        ({TIMESTAMP: "2026-13-01T00:00:00Z"}, "expected RFC 3339"),
        ({TIMESTAMP: b"2026-06-01T00:00:00Z\xff"}, "expected RFC 3339"),
    ],
)
def test_the_time_is_required(
    service: RunningService, path: str, headers: dict[str, str], error: str
) -> None:
    response = service.http.post(path, content=b"# code", headers=headers)
    assert response.status_code == 400
    assert response.json()["error"].startswith(f"{TIMESTAMP}: {error}")


@BOTH
@pytest.mark.parametrize("encoding", ["gzip", "br", "x, y", ""])
def test_an_encoded_body_is_no_code(service: RunningService, path: str, encoding: str) -> None:
    headers = {TIMESTAMP: LATER, "Content-Encoding": encoding}
    response = service.http.post(path, content=gzip.compress(b"# code"), headers=headers)
    assert response.status_code == 400
    assert response.json()["error"].startswith("Content-Encoding: send the body as it is")
    plain = headers | {"Content-Encoding": "Identity"}
    assert service.http.post(path, content=b"# code", headers=plain).is_success


@BOTH
@pytest.mark.parametrize("at", ["2023-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
def test_before_the_first_executor_there_is_none(
    service: RunningService, path: str, at: str
) -> None:
    response = post(service, path, b"# code", at)
    assert response.status_code == 500
    assert "no executor" in response.json()["error"]


@BOTH
def test_a_body_over_the_cap_is_413(service: RunningService, path: str) -> None:
    assert post(service, path, bytes(MAX_BODY + 1)).status_code == 413
    assert post(service, path, bytes(MAX_BODY)).is_success


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("OOM", "OOM"),
        ("OOM x", "OOM"),
        ("exit_code 1", "exit_code"),
        ("OOM storage", "OOM storage"),
    ],
)
def test_errors_are_described(service: RunningService, code: str, known: str) -> None:
    response = service.http.get("/vm-error/describe", params={"error": code})
    assert (response.status_code, response.json()) == (200, {"description": describe(known)})


@pytest.mark.parametrize("query", ["error=", "error=OOMx", "error=%ff%00", "error=" + "a" * 3000])
def test_unknown_errors_have_no_description(service: RunningService, query: str) -> None:
    response = service.http.get(f"/vm-error/describe?{query}")
    assert (response.status_code, response.json()) == (200, {"description": None})


@pytest.mark.parametrize("query", ["", "?Error=OOM", "?code=OOM"])
def test_a_missing_error_is_named(service: RunningService, query: str) -> None:
    response = service.http.get(f"/vm-error/describe{query}")
    assert response.status_code == 400
    assert response.json()["error"].startswith("error: missing")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((method, path) for path in (DETECT, WRITES) for method in ("GET", "PUT", "DELETE")),
        ("POST", f"{DETECT}/"),
        ("POST", "/contract"),
        ("POST", "/vm-error/describe?error=OOM"),
        ("GET", "/vm-error"),
    ],
)
def test_other_methods_and_paths_are_not_found(
    service: RunningService, method: str, path: str
) -> None:
    response = service.http.request(method, path, headers={TIMESTAMP: LATER})
    assert (response.status_code, response.json()) == (404, {"error": "Not Found"})


def test_the_typed_client(service: RunningService) -> None:
    client, at = service.client, datetime(2026, 6, 1, tzinfo=UTC)
    assert client.detect_version(b"# v2.0.0\n", at) == 2
    assert [content for _, content in client.pre_deploy_writes(b"abc", at)] == [b"\3\0\0\0", b"abc"]
    assert client.describe_vm_error("OOM & more") == describe("OOM")
    assert client.describe_vm_error("unheard_of") is None
    with pytest.raises(BadRequest, match="major 3"):
        client.pre_deploy_writes(b"# v3.0.0\n", at)
    with pytest.raises(RequestFailed, match="no executor"):
        client.detect_version(b"", datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(BadRequest, match=TIMESTAMP):
        client.detect_version(b"", datetime(2026, 6, 1))


def test_without_a_supervisor(service: RunningService) -> None:
    with service.without_supervisor():
        for path in (DETECT, WRITES):
            response = post(service, path, b"# code")
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) >= 1
            assert "the supervisor cannot be reached" in response.json()["error"]
        assert service.client.describe_vm_error("OOM") == describe("OOM")
    assert post(service, DETECT, b"# v1.0.0\n").json() == {"specified_major": 1}


def test_it_is_the_same_over_a_unix_socket() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="genvm-test-") as folder,
        RunningService("--socket", f"{folder}/s") as running,
    ):
        assert running.client.url.startswith("unix:")
        assert running.client.detect_version(b"# v9.0.0\n", datetime.now(UTC)) == 0
        assert running.client.describe_vm_error("timeout") == describe("timeout")
