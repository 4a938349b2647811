"""HTTP requests to hostile servers (docs/spec/05-modules.md#safety): each costs one clear error."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from genvm_manager.workers.web.faults import WebFault
from tests.support.web_module import NO_BROWSER, Client, with_module
from tests.support.web_world import heard, site, talker

Talk = Callable[[socket.socket], None]

INSIDE = {
    "//127.0.0.1/": "TLD_FORBIDDEN",
    "http://localhost./": "TLD_FORBIDDEN",
    "http://2130706433/": "TLD_FORBIDDEN",
    "http://0x7f.1/": "TLD_FORBIDDEN",
    "http://0177.0.0.1/": "TLD_FORBIDDEN",
    "http://127\u30020\u30020\u30021/": "TLD_FORBIDDEN",
    "http://[::1]/": "TLD_FORBIDDEN",
    "http://[::ffff:7f00:1]/": "TLD_FORBIDDEN",
    "http://169.254.169.254/latest/meta-data/": "TLD_FORBIDDEN",
    "http://metadata.google.internal/": "TLD_FORBIDDEN",
    "http://user@127.0.0.1/": "MALFORMED_URL",
    "http://127.0.0.1:1\\@example.com/": "MALFORMED_URL",
    "http://example.com:22/": "PORT_FORBIDDEN",
    "file:///etc/passwd": "SCHEMA_FORBIDDEN",
    "data:text/html,x": "SCHEMA_FORBIDDEN",
    "javascript:alert(1)": "SCHEMA_FORBIDDEN",
    "gopher://127.0.0.1:70/": "SCHEMA_FORBIDDEN",
}


def ask(url: str, *hosts: str, method: str = "GET", **more: Any) -> dict[str, Any]:
    config = {**NO_BROWSER, "always_allow_hosts": list(hosts), "timeout": "20s"}
    config |= more.pop("config", {})
    return with_module(config, lambda client: client.request(url, method, **more))


def refusal(talk: Talk, **more: Any) -> WebFault:
    with talker(talk) as server, pytest.raises(WebFault) as caught:
        ask(server.url(), server.host, **more)
    return caught.value


def says(reply: bytes) -> Talk:
    """A server that gives this answer and hangs up."""

    def talk(connection: socket.socket) -> None:
        heard(connection)
        connection.sendall(reply)

    return talk


def pours(head: bytes, drop: bytes) -> Talk:
    """A server that never comes to an end."""

    def talk(connection: socket.socket) -> None:
        heard(connection)
        connection.sendall(head)
        while True:
            connection.sendall(drop)

    return talk


def drips(head: bytes, drop: bytes) -> Talk:
    """The same, slowly."""

    def talk(connection: socket.socket) -> None:
        heard(connection)
        connection.sendall(head)
        while True:
            connection.sendall(drop)
            threading.Event().wait(0.05)

    return talk


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"


def redirect(location: str) -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: " + location.encode() + b"\r\n"


@pytest.mark.parametrize("location", INSIDE)
def test_no_redirect_leads_inside(location: str) -> None:
    fault = refusal(says(redirect(location) + b"Content-Length: 0\r\n\r\n"))
    assert fault.causes == [INSIDE[location]]


def test_hosts_that_redirect_to_each_other() -> None:
    with site({}) as one, site({}) as other:
        one.routes["/"] = (302, {"location": other.url()}, b"")
        other.routes["/"] = (307, {"location": one.url()}, b"")
        with pytest.raises(WebFault) as caught:
            ask(one.url(), one.host, other.host)
        assert caught.value.causes == ["TOO_MANY_REDIRECTS"]
        assert len(one.asked) + len(other.asked) == 11


def test_the_body_of_a_redirect_is_nobodys_business() -> None:
    with site({"/": b"arrived"}) as there:
        head = redirect(there.url()) + b"Transfer-Encoding: chunked\r\n\r\n"
        with talker(pours(head, b"5\r\nabcde\r\n")) as server:
            assert ask(server.url(), server.host, there.host)["body"] == b"arrived"


@pytest.mark.parametrize(
    ("talk", "code"),
    [
        (pours(OK, b"X-A: aaaaaaaaaaaaaaaa\r\n"), "MALFORMED_RESPONSE"),
        (pours(OK + b"X-Long: ", b"a" * 1_000), "MALFORMED_RESPONSE"),
        (pours(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "TIMEOUT"),
        (pours(OK + b"\r\n", b"more " * 1_000), "BODY_TOO_LARGE"),
        (pours(CHUNKED + b"\r\n", b"5\r\nabcde\r\n"), "BODY_TOO_LARGE"),
        (pours(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"")), "TIMEOUT"),
        (drips(b"", b"H"), "TIMEOUT"),
        (drips(OK, b"X-A: a\r\n"), "TIMEOUT"),
        (drips(OK + b"Content-Length: 1000\r\n\r\n", b"a"), "TIMEOUT"),
        (says(CHUNKED + b"\r\nffffffffffffffff\r\n"), "MALFORMED_RESPONSE"),
        (says(CHUNKED + b"\r\n-5\r\nabcde\r\n"), "MALFORMED_RESPONSE"),
        (says(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"), "MALFORMED_RESPONSE"),
        (says(OK + b"Content-Length: -5\r\n\r\nabcde"), "MALFORMED_RESPONSE"),
        (says(b"HTTQ/1.1 200 OK\r\n\r\n"), "MALFORMED_RESPONSE"),
        (says(b"\x16\x03\x01" + bytes(100)), "MALFORMED_RESPONSE"),
        (
            says(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"whole")[:-3]),
            "MALFORMED_RESPONSE",
        ),
    ],
)
def test_a_server_without_end_or_sense(talk: Talk, code: str) -> None:
    # What is found out without the time limit is, however slow the machine.
    config = {"timeout": "2s" if code == "TIMEOUT" else "60s"}
    assert refusal(talk, limit=1_000, config=config).causes == [code]


def test_what_is_not_decoded_is_bounded_as_it_comes() -> None:
    """Codings that nobody asked for, or several at once: they arrive as they were sent."""
    bomb = gzip.compress(gzip.compress(bytes(50 << 20)))
    for coding in ("br", "zstd", "gzip, gzip"):
        route = (200, {"content-encoding": coding}, bomb)
        with site({"/": route}) as world:
            answer = ask(world.url(), world.host, limit=len(bomb))
            assert answer["body"] == bomb
            assert answer["headers"]["content-encoding"] == coding.encode()
            with pytest.raises(WebFault) as caught:
                ask(world.url(), world.host, limit=len(bomb) - 1)
            assert caught.value.causes == ["BODY_TOO_LARGE"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A: b\r\nX-B", b"c"),
        ("X A", b"b"),
        ("X-A:", b"b"),
        ("", b"b"),
        ("\u00fc", b"b"),
        ("X-A", b"b\r\n\r\nGET /smuggled HTTP/1.1"),
        ("X-A", b"b\nX-B: c"),
        ("X-A", b"b\rX-B: c"),
        ("X-A", b"b\0"),
    ],
)
def test_no_header_smuggles(name: str, value: bytes) -> None:
    with site({"/": b"fine"}) as world:
        with pytest.raises(WebFault) as caught:
            ask(world.url(), world.host, headers={name: value})
        assert caught.value.causes == ["MALFORMED_HEADER"]
        assert world.asked == []


def test_a_request_cannot_end_early_and_begin_again() -> None:
    """What says where a request ends is ours; what it says is the contract's, and stays inside."""
    inner = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    headers = {"Content-Length": b"0", "Transfer-Encoding": b"chunked", "Connection": b"keep-alive"}
    with site({"/": lambda asked: (200, {}, asked.body)}) as world:

        async def twice(client: Client) -> None:
            for _ in range(2):
                answer = await client.request(world.url(), "POST", headers=headers, body=inner)
                assert answer["body"] == inner

        with_module({**NO_BROWSER, "always_allow_hosts": [world.host]}, twice)
        assert world.paths() == ["/", "/"]


def test_a_method_that_may_have_a_body_says_that_it_has_none() -> None:
    with site({"/": b"fine"}) as world:
        for method in ("POST", "PUT", "PATCH", "GET"):
            ask(world.url(), world.host, method=method)
        lengths = [asked.headers.get("content-length") for asked in world.asked]
        assert lengths == ["0", "0", "0", None]


def test_a_trusted_ipv6_address() -> None:
    with site({"/": b"six"}, "::1") as world:
        assert ask(world.url(), world.host)["body"] == b"six"
        with pytest.raises(WebFault) as caught:
            ask(world.url(), "[::1]:1")
        assert caught.value.causes == ["PORT_FORBIDDEN"]


def test_many_bad_servers_at_once_cost_a_good_one_nothing() -> None:
    with talker(drips(OK, b"X-A: a\r\n")) as bad, site({"/": b"fine"}) as good:

        async def work(client: Client) -> None:
            sessions = [await client.another() for _ in range(20)]
            waiting = [
                asyncio.create_task(each.refused(each.request(bad.url()))) for each in sessions
            ]
            for _ in range(5):
                assert (await client.request(good.url()))["body"] == b"fine"
            faults = await asyncio.gather(*waiting)
            assert {fault.code for fault in faults} == {"TIMEOUT"}
            for each in sessions:
                await each.session.close()

        hosts = [bad.host, good.host]
        with_module({**NO_BROWSER, "always_allow_hosts": hosts, "timeout": "3s"}, work)
