"""Who may ask: `Host` and `Origin` against web pages, and the bearer token."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from flask import Flask

from genvm_manager.base.errors import ManagerError
from genvm_manager.base.settings.config import Config
from genvm_manager.base.settings.token_file import TokenFileError, read_token
from genvm_manager.manager.api.access import install_access_rules
from genvm_manager.manager.api.declaration.errors import UNAUTHORIZED
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.manager.launcher.service_file import find_service_file
from tests.support.service import RunningService
from tests.support.waiting import TIMEOUT, wait_until

TOKEN = "a-token+that/nobody=guesses"
SMALL = "http_workers: 1, http_threads: 8"


@pytest.fixture(scope="module")
def loopback() -> Iterator[RunningService]:
    with RunningService(config=f"{{{SMALL}, allowed_hosts: [Genvm.Example]}}") as running:
        yield running


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST:1",
        "localhost.",
        "[::1]:3999",
        "127.5.5.5:80",
        "genvm.example",
        "GENVM.example:8080",
    ],
)
def test_our_own_names_are_welcome(loopback: RunningService, host: str) -> None:
    for path in ("/status", "/healthz"):
        assert loopback.http.get(path, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3999",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "localhost, evil.example",
        "evil@localhost",
        "[::2]",
        "local host",
        "x" * 300,
    ],
)
def test_another_name_is_refused_on_loopback(loopback: RunningService, host: str) -> None:
    for method, path in (("GET", "/status"), ("GET", "/healthz"), ("POST", "/permits")):
        response = loopback.http.request(method, path, headers={"Host": host})
        assert response.status_code in (400, 403), response.text
        assert "allowed_hosts" in response.json()["error"] or response.status_code == 400


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        (None, 200),
        ("http://localhost:8080", 200),
        ("http://127.0.0.1", 200),
        ("https://genvm.example", 200),
        ("https://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("null", 403),
        ("", 403),
        ("file://localhost", 403),
        ("http://[", 403),
    ],
)
def test_pages_of_others_change_nothing(
    loopback: RunningService, origin: str | None, code: int
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    response = loopback.http.post("/permits", content=b'{"permits": 4}', headers=headers)
    assert response.status_code == code, response.text
    assert loopback.http.get("/permits", headers=headers).status_code == 200
    if code == 403:
        assert loopback.http.delete("/genvm/1", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://genvm.example"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
    ],
)
def test_other_sites_ask_nothing_in_the_background(
    loopback: RunningService, sent: dict[str, str], code: int
) -> None:
    for path in ("/status", "/", "/permits"):
        response = loopback.http.get(path, headers=sent)
        assert response.status_code == code, response.text
        if code == 403:
            assert "Sec-Fetch-Site" in response.json()["error"]


@pytest.mark.parametrize(
    ("allowed", "bound", "host", "origin", "code"),
    [
        ((), "0.0.0.0", "some.name:99", None, 200),
        ((), "::", "some.name:99", "http://some.name:99", 200),
        ((), "10.1.2.3", "some.name:99", "http://localhost", 403),
        ((), "0.0.0.0", "some.name:99", "http://other.name:99", 403),
        (("some.name",), "0.0.0.0", "some.name:99", "https://some.name", 200),
        (("some.name",), "0.0.0.0", "localhost", None, 200),
        (("some.name",), "0.0.0.0", "other.name", None, 403),
        ((), "::1", "other.name", None, 403),
    ],
)
def test_rules_beyond_loopback(
    allowed: tuple[str, ...], bound: str, host: str, origin: str | None, code: int
) -> None:
    """Tests listen on loopback only, so what gunicorn says of its socket is given here."""
    app = Flask(__name__)
    install_access_rules(app, Config(allowed_hosts=allowed), None)
    app.add_url_rule("/", view_func=lambda: "", methods=["POST"])
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    response = app.test_client().post(
        "/", headers=headers, environ_overrides={"SERVER_NAME": bound}
    )
    assert response.status_code == code


def test_any_name_is_welcome_on_a_unix_socket() -> None:
    with RunningService("--socket", "http.sock", config=f"{{{SMALL}}}") as service:
        transport = httpx.HTTPTransport(uds=str(service.folder / "http.sock"))
        with httpx.Client(transport=transport, base_url="http://any.name") as http:
            assert http.get("/status").status_code == 200


def test_no_header_says_by_which_path_or_scheme_a_request_came(loopback: RunningService) -> None:
    """gunicorn would trust these headers from this machine, and so from clients of any proxy."""
    named = {"SCRIPT_NAME": "/readyz", "PATH_INFO": "/status"}
    assert loopback.http.get("/healthz", headers=named).json() == {"status": "alive"}
    assert loopback.http.get("/readyz/status", headers=named).status_code == 404
    contradictory = {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"}
    assert loopback.http.get("/healthz", headers=contradictory).status_code == 200


def token_file(folder: Path, text: str = TOKEN + "\n", mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture(scope="module", params=["option", "config"])
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    path = token_file(tmp_path_factory.mktemp("secret"))
    by_option = request.param == "option"
    options = ["--token-file", str(path)] if by_option else []
    config = SMALL if by_option else f"{SMALL}, token_file: {path}"
    with RunningService(*options, config=f"{{{config}}}") as service:
        yield service


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        b"Bearer \xff\xfe",
    ],
)
def test_without_the_token_only_healthz_and_an_empty_page_answer(
    guarded: RunningService, sent: str | bytes | None
) -> None:
    value = sent.encode() if isinstance(sent, str) else sent
    headers = {} if value is None else {b"Authorization": value}
    for method, path in (
        ("GET", "/status"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/healthz/"),
        ("GET", "/events"),
        ("GET", "/assets/"),
        ("GET", "/assets/../status"),
        ("POST", "/"),
        ("POST", "/module/start"),
        ("POST", "/permits"),
        ("POST", "/genvm/run"),
        ("DELETE", "/genvm/1"),
    ):
        response = guarded.http.request(method, path, headers=headers)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="genvm-manager"'
        assert response.json() == UNAUTHORIZED.document
    for path in ("/healthz", "/", "/assets/page.js"):
        assert guarded.http.get(path, headers=headers).status_code == 200


def test_with_the_token_all_is_as_ever(guarded: RunningService) -> None:
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {TOKEN}"}
        assert guarded.http.get("/readyz", headers=headers).status_code == 200
        assert guarded.http.get("/nothing", headers=headers).status_code == 404
    with HttpClient(guarded.url, TOKEN) as client:
        assert client.status().executions == {}
    with HttpClient(guarded.url) as client, pytest.raises(ManagerError, match="--token-file"):
        client.status()


def test_the_token_is_found_by_its_path_and_stands_nowhere_else(guarded: RunningService) -> None:
    file = find_service_file(guarded.state)
    assert file is not None
    assert file.token_file is not None
    assert read_token(Path(file.token_file)) == TOKEN
    serve = guarded.process
    for process in (serve, *serve.children(recursive=True)):
        said = [*process.cmdline(), *process.environ().values()]
        assert not any(TOKEN in word for word in said)
    assert TOKEN not in guarded.log
    for path in guarded.folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert TOKEN.encode() not in path.read_bytes()


def test_commands_find_the_token_by_themselves(guarded: RunningService) -> None:
    file = find_service_file(guarded.state)
    assert file is not None
    call = ("call", "0x" + "20" * 20, "none", "--view", "--state-dir", str(guarded.state))
    elsewhere = ("--url", guarded.url.replace("127.0.0.1", "localhost"))
    for options in ((), (*elsewhere, "--token-file", str(file.token_file))):
        assert "no contract" in guarded.genvm_manager(*call, *options).stderr
    assert "Authorization" in guarded.genvm_manager(*call, *elsewhere).stderr


def test_a_new_http_half_still_wants_the_token(guarded: RunningService) -> None:
    before = guarded.half("http")
    workers = before.children()
    before.send_signal(signal.SIGKILL)
    wait_until(lambda: guarded.half("http") != before and not any(w.is_running() for w in workers))
    assert httpx.get(f"{guarded.url}/status", timeout=TIMEOUT).status_code == 401


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        (TOKEN, 0o660, "chmod 600"),
        (TOKEN, 0o604, "chmod 600"),
        ("", 0o600, "umask 077"),
        ("short", 0o600, "16 to 1024"),
        ("two tokens are not one", 0o600, "letters, digits"),
        ("x" * 2000, 0o600, "16 to 1024"),
    ],
)
def test_a_token_file_that_cannot_be_used_stops_the_start(
    tmp_path: Path, text: str, mode: int, expected: str
) -> None:
    path = token_file(tmp_path, text, mode)
    with pytest.raises(TokenFileError, match=expected) as raised:
        read_token(path)
    assert str(path) in str(raised.value)
    assert not text or text not in str(raised.value)


@pytest.mark.parametrize("text", [f"\ufeff{TOKEN}\r\n", f"{TOKEN}\r\n", f"\n{TOKEN}\r"])
def test_what_an_editor_adds_to_a_token_is_not_part_of_it(tmp_path: Path, text: str) -> None:
    assert read_token(token_file(tmp_path, text)) == TOKEN
    longest = "x" * 1024
    assert read_token(token_file(tmp_path, f"\ufeff{longest}\r\n")) == longest


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_only_root_may_let_a_group_read_the_token(tmp_path: Path) -> None:
    path = token_file(tmp_path, mode=0o640)
    assert read_token(path) == TOKEN
    os.chown(path, 65534, 65534)
    with pytest.raises(TokenFileError, match="chmod 600"):
        read_token(path)


def test_serve_refuses_a_token_that_others_may_read(tmp_path: Path) -> None:
    path = token_file(tmp_path, mode=0o644)
    service = RunningService("--token-file", str(path))
    try:
        log = service.folder / "failure"
        assert service.launch(log).wait(TIMEOUT) == 1
        assert f"chmod 600 {path}" in log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        service.discard()


def test_a_missing_token_file_and_a_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match="No such file"):
        read_token(tmp_path / "none")
    with pytest.raises(TokenFileError, match="directory"):
        read_token(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(TokenFileError, match="regular file"):
        read_token(tmp_path / "pipe")
