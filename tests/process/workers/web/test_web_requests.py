"""HTTP requests of contracts against real servers (docs/spec/05-modules.md#web-requests)."""

from __future__ import annotations

import gzip
import socket
import threading
import zlib
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from genvm_manager.protocol.module_frames import FatalFault, HttpMethod, ModuleRequest
from genvm_manager.workers.web.faults import WebFault
from tests.support.web_module import NO_BROWSER, Client, with_module
from tests.support.web_world import FINE, FORGED, Asked, Route, Site, heard, site, talker

METHODS = get_args(HttpMethod)
BINARY = bytes(range(256))


def moved(status: int, to: str) -> Route:
    return (status, {"location": to}, b"elsewhere")


def echo(asked: Asked) -> tuple[int, dict[str, str], bytes]:
    return (
        200,
        {"x-method": asked.method, "x-custom": asked.headers.get("x-custom", "")},
        asked.body,
    )


ROUTES: dict[str, Route] = {
    "/": b"hello",
    "/echo": echo,
    "/binary": (200, {"content-type": "application/octet-stream"}, BINARY),
    "/teapot": (418, {}, b"short and stout"),
    "/once": moved(302, "/"),
    "/see-other": moved(303, "/echo"),
    "/found": moved(302, "/echo"),
    "/kept": moved(307, "/echo"),
    "/loop": moved(302, "/loop"),
    "/to-file": moved(302, "file:///etc/passwd"),
    "/to-private": moved(302, "http://10.0.0.1/"),
    "/to-port": moved(302, "http://example.com:8080/"),
    "/gzip": (200, {"content-encoding": "gzip"}, gzip.compress(b"unfolded")),
    "/deflate": (200, {"content-encoding": "deflate"}, zlib.compress(b"unfolded")),
    "/raw-deflate": (200, {"content-encoding": "deflate"}, zlib.compress(b"unfolded")[2:-4]),
    "/bomb": (200, {"content-encoding": "gzip"}, gzip.compress(bytes(50 << 20))),
    "/not-gzip": (200, {"content-encoding": "gzip"}, b"plain"),
    "/long": bytes(100_000),
    "/cookie": (200, {"set-cookie": "a=1"}, b""),
}


@pytest.fixture(scope="module")
def world() -> Iterator[Site]:
    with site(ROUTES) as served:
        yield served


def ask(world: Site, path: str, method: str = "GET", **more: Any) -> dict[str, Any]:
    config = {**NO_BROWSER, "always_allow_hosts": [world.host], **more.pop("config", {})}
    return with_module(config, lambda client: client.request(world.url(path), method, **more))


def refusal(world: Site, path: str, **more: Any) -> WebFault:
    with pytest.raises(WebFault) as caught:
        ask(world, path, **more)
    return caught.value


@pytest.mark.parametrize("method", METHODS)
def test_every_method_with_headers_and_a_body_of_any_bytes(world: Site, method: str) -> None:
    body = None if method in ("GET", "HEAD") else BINARY
    answer = ask(world, "/echo", method, headers={"X-Custom": b"caf\xe9"}, body=body)
    assert answer["status"] == 200
    assert answer["headers"]["x-method"] == method.encode()
    assert answer["headers"]["x-custom"] == b"caf\xe9"
    assert answer["body"] == (body or b"")


def test_a_status_is_no_error_and_bytes_come_as_they_are(world: Site) -> None:
    assert ask(world, "/teapot")["status"] == 418
    assert ask(world, "/binary")["body"] == BINARY


@pytest.mark.parametrize("path", ["/gzip", "/deflate", "/raw-deflate"])
def test_a_packed_body_comes_unpacked(world: Site, path: str) -> None:
    answer = ask(world, path)
    assert answer["body"] == b"unfolded"
    assert "content-encoding" not in answer["headers"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/bomb", "BODY_TOO_LARGE"),
        ("/not-gzip", "MALFORMED_RESPONSE"),
        ("/loop", "TOO_MANY_REDIRECTS"),
        ("/to-file", "SCHEMA_FORBIDDEN"),
        ("/to-private", "TLD_FORBIDDEN"),
        ("/to-port", "PORT_FORBIDDEN"),
    ],
)
def test_what_is_refused_has_its_code(world: Site, path: str, code: str) -> None:
    assert refusal(world, path).causes == [code]


def test_a_size_limit_is_the_contracts_or_the_operators(world: Site) -> None:
    assert len(ask(world, "/long", limit=100_000)["body"]) == 100_000
    assert refusal(world, "/long", limit=99_999).causes == ["BODY_TOO_LARGE"]
    assert refusal(world, "/long", config={"max_body": 5_000}).causes == ["BODY_TOO_LARGE"]


@pytest.mark.parametrize(
    ("path", "sent", "arrives"),
    [
        ("/see-other", "POST", "GET"),
        ("/found", "POST", "GET"),
        ("/found", "PUT", "PUT"),
        ("/kept", "POST", "POST"),
    ],
)
def test_redirects_change_the_method_as_browsers_do(
    world: Site, path: str, sent: str, arrives: str
) -> None:
    answer = ask(world, path, sent, body=b"data")
    assert answer["headers"]["x-method"] == arrives.encode()
    assert answer["body"] == (b"data" if arrives == sent else b"")


def test_credentials_stay_with_the_origin_that_they_were_for(world: Site) -> None:
    with site({"/": b"other"}) as other:
        world.routes["/away"] = moved(302, other.url())
        config = {"always_allow_hosts": [world.host, other.host]}
        headers = {"Authorization": b"Bearer x", "Cookie": b"c=1", "X-Custom": b"kept"}
        ask(world, "/away", headers=headers, config=config)
        assert "authorization" not in other.asked[0].headers
        assert "cookie" not in other.asked[0].headers
        assert other.asked[0].headers["x-custom"] == "kept"


def test_no_cookie_is_carried_over(world: Site) -> None:
    async def twice(client: Client) -> None:
        await client.request(world.url("/cookie"))
        await client.request(world.url("/echo"))

    with_module({**NO_BROWSER, "always_allow_hosts": [world.host]}, twice)
    assert "cookie" not in world.asked[-1].headers


def test_a_header_cannot_smuggle_another_one(world: Site) -> None:
    fault = refusal(world, "/echo", headers={"X-Custom": b"a\r\nHost: elsewhere"})
    assert fault.causes == ["MALFORMED_HEADER"]


def test_the_connection_is_ours_whatever_the_headers_say(world: Site) -> None:
    headers = {"Host": b"elsewhere.example", "Content-Length": b"3", "Connection": b"upgrade"}
    ask(world, "/echo", "POST", headers=headers, body=b"longer")
    assert world.asked[-1].headers["host"] == world.host
    assert world.asked[-1].body == b"longer"


def test_a_server_that_says_nothing_costs_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = "{}:{}".format(*silent.getsockname())
        config = {**NO_BROWSER, "always_allow_hosts": [host], "timeout": "300ms"}
        with pytest.raises(WebFault) as caught:
            with_module(config, lambda client: client.request(f"http://{host}/"))
    assert caught.value.causes == ["TIMEOUT"]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "MALFORMED_RESPONSE"),
        (b"not HTTP at all\r\n\r\n", "MALFORMED_RESPONSE"),
        (b"", "MALFORMED_RESPONSE"),
    ],
)
def test_a_server_that_talks_nonsense(reply: bytes, code: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        host = "{}:{}".format(*server.getsockname())
        config = {**NO_BROWSER, "always_allow_hosts": [host]}
        with pytest.raises(WebFault) as caught:
            with_module(config, lambda client: client.request(f"http://{host}/"))
        thread.join()
    assert caught.value.causes == [code]


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = "{}:{}".format(*server.getsockname())
    config = {**NO_BROWSER, "always_allow_hosts": [host]}
    with pytest.raises(WebFault) as caught:
        with_module(config, lambda client: client.request(f"http://{host}/"))
    assert caught.value.causes == ["CONNECTION_FAILED"]


def test_connections_are_reused_within_a_session(world: Site) -> None:
    ports: set[int] = set()

    async def thrice(client: Client) -> None:
        for _ in range(3):
            await client.request(world.url("/echo"))
            ports.add(world.asked[-1].client_port)

    with_module({**NO_BROWSER, "always_allow_hosts": [world.host]}, thrice)
    assert len(ports) == 1


def answer_of(size: int) -> bytes:
    """An answer of so many bytes: of what our side reads at once, say."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %6d\r\n\r\n"
    length = size - len(head % 0)
    return head % length + bytes(length)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("GET", FINE + FORGED),
        ("GET", FINE + b"\r\n"),
        ("HEAD", FINE[:-4] + FORGED),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n" + FORGED),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n" + FORGED),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n" + FORGED,
        ),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 19\r\n\r\n"
            b"4\r\nfine\r\n0\r\n\r\n",
        ),
        (
            "GET",
            FINE.replace(b"1.1", b"1.0") + FORGED,
        ),
        ("GET", FINE.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + FORGED),
        *(("GET", answer_of(size) + FORGED) for size in (1 << 16, 2 << 16, 3 << 16)),
    ],
)
def test_what_comes_after_an_answer_is_no_answer_to_the_next_request(
    method: str, answer: bytes
) -> None:
    connections: list[int] = []

    def talk(connection: socket.socket) -> None:
        connections.append(len(connections))
        while heard(connection):
            connection.sendall(answer if connections[-1] == 0 else FINE)

    async def twice(client: Client) -> bytes:
        await client.request(server.url(), method)
        body: bytes = (await client.request(server.url()))["body"]
        return body

    with talker(talk) as server:
        config = {**NO_BROWSER, "always_allow_hosts": [server.host]}
        assert with_module(config, twice) == b"fine"
    assert len(connections) == 2


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ([{"method": "TRACE", "url": "http://example.com/"}, None], "method"),
        ([{"method": "GET"}, None], "url"),
        ([{"method": "GET", "url": 5}, None], "url"),
        ([{"method": "GET", "url": "http://example.com/", "headers": {"a": 1}}, None], "headers"),
        ([{"method": "GET", "url": "http://example.com/"}, -1], "expected int"),
        ({"method": "GET", "url": "http://example.com/"}, "list"),
    ],
)
def test_a_malformed_request_ends_the_run_and_names_the_field(payload: Any, field: str) -> None:
    async def work(client: Client) -> None:
        await client.session.answer(ModuleRequest("Request", payload))

    with pytest.raises(FatalFault, match=field):
        with_module(NO_BROWSER, work)


def test_without_a_browser_rendering_says_so_and_requests_still_work(world: Site) -> None:
    config = {**NO_BROWSER, "always_allow_hosts": [world.host]}
    fault = with_module(config, lambda client: client.refused(client.render(world.url("/"))))
    assert fault.causes == ["BROWSER_UNAVAILABLE"]
    assert "browser_path" in fault.context["reason"]
    assert ask(world, "/")["body"] == b"hello"
