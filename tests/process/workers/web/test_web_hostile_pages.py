"""Pages that mean no good, in a real Chromium: each costs its own request.

Source: docs/spec/05-modules.md.
"""

from __future__ import annotations

import asyncio
import os
import socket
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.sync.server import serve

from genvm_manager.workers.web.browser.devtools import DevTools
from tests.support.web_browser import browser_family, needs_browser
from tests.support.web_module import Client, with_module
from tests.support.web_world import Route, Site, heard, site, talker

pytestmark = needs_browser

LIMIT = 400 << 20
"""Bytes that a process of the browser may take here."""


def bomb(megabytes: int) -> bytes:
    """Text that was packed by `deflate`."""
    packing = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packing.compress(b"x" * (1 << 20)) + packing.flush(zlib.Z_FULL_FLUSH)
    return block * megabytes + b"\x03\x00"


ROUTES: dict[str, Route] = {
    "/fine": b"<p>fine",
    "/empty-404": (404, {}, b""),
    "/not-modified": (304, {}, b""),
    "/nothing": (204, {}, b""),
    "/svg": (200, {"content-type": "image/svg+xml"},
             b"<svg xmlns='http://www.w3.org/2000/svg'><text>drawn</text></svg>"),
    "/leaves": b"<p>x<script>location = '/fine'</script>",
    "/lost": b"<p>x<script>location = 'http://127.0.0.1:1/'</script>",
    "/pretends": b"""<p>x<script>
        performance.getEntriesByType = () => [{name: "http://example.com/", responseStatus: 500}];
        Object.defineProperty(document, "body", {value: {innerText: "forged"}})</script>""",
    "/for-ever": b"<meta http-equiv=refresh content=0><p>again",
    "/alerts": b"<p>x<script>for (;;) alert('x'.repeat(1e6))</script>",
    "/windows": b"""<p>x<script>for (let i = 0; i < 30; i++) {
        open('/fine?' + i, '', 'noopener');
        const a = document.createElement('a');
        a.href = '/fine?a' + i; a.target = '_blank'; a.rel = 'noopener'; a.click() }</script>""",
    "/blobs": b"""<p>x<script>const all = []; (async () => { for (;;) {
        const blob = new Blob([new Uint8Array(32 << 20).fill(7)]); all.push(blob);
        await blob.slice(0, 1).arrayBuffer() }})()</script>""",
    "/bomb": (200, {"content-encoding": "deflate"}, bomb(2_000)),
    "/big": bytes(8 << 20),
    "/loads": b"""<p>x<script>(async () => {
        for (;;) await (await fetch('/big')).arrayBuffer() })()</script>""",
    "/sends": b"""<p>x<script>(async () => { const body = 'x'.repeat(8 << 20);
        for (;;) await fetch('/fine', {method: 'POST', body}) })()</script>""",
    "/to-file": (302, {"location": "file:///etc/passwd"}, b""),
    "/to-data": (302, {"location": "data:text/html,x"}, b""),
    "/to-inside": (302, {"location": "http://10.0.0.1/"}, b""),
    "/to-port": (302, {"location": "http://example.com:22/"}, b""),
    "/loop": (302, {"location": "/loop"}, b""),
}  # fmt: skip


@pytest.fixture(scope="module")
def world() -> Iterator[Site]:
    with site(ROUTES) as served:
        yield served


def with_browser(work: Any, *worlds: Site, **config: Any) -> Any:
    return with_module({"always_allow_hosts": [each.host for each in worlds], **config}, work)


def renderers() -> int:
    found = 0
    for process in browser_family(os.getpid()):
        found += any("--type=renderer" in word for word in process.cmdline())
    return found


def test_what_a_page_answers_and_what_it_shows(world: Site) -> None:
    async def work(client: Client) -> None:
        fault = await client.refused(client.render(world.url("/empty-404")))
        assert (fault.causes, fault.context["status"]) == (["WEBPAGE_LOAD_FAILED"], 404)
        assert fault.context["body"] == "", "the browser's own words are not the page's"
        assert await client.render(world.url("/not-modified")) == ""
        assert await client.render(world.url("/nothing")) == ""
        assert await client.render(world.url("/svg")) == "drawn"
        assert await client.render(world.url("/leaves"), wait_after_loaded="1s") == "fine"
        assert await client.render(world.url("/pretends")) == "x"
        assert "again" in await client.render(world.url("/for-ever"))

    with_browser(work, world)


def test_where_a_page_leads_is_said(world: Site) -> None:
    def nonsense(connection: socket.socket) -> None:
        heard(connection)
        connection.sendall(b"nonsense\r\n\r\n")

    async def work(client: Client) -> None:
        for url, code, about in [
            (world.url("/lost"), "WEBPAGE_LOAD_FAILED", "http://127.0.0.1:1/"),
            (world.url("/to-file"), "SCHEMA_FORBIDDEN", world.url("/to-file")),
            (world.url("/to-data"), "SCHEMA_FORBIDDEN", world.url("/to-data")),
            (world.url("/to-inside"), "TLD_FORBIDDEN", "http://10.0.0.1/"),
            (world.url("/to-port"), "PORT_FORBIDDEN", "http://example.com:22/"),
            (world.url("/loop"), "TOO_MANY_REDIRECTS", world.url("/loop")),
            (babble.url("/"), "MALFORMED_RESPONSE", babble.url("/")),
            (closed.url("/"), "CONNECTION_FAILED", closed.url("/")),
        ]:
            fault = await client.refused(client.render(url, wait_after_loaded="500ms"))
            assert (fault.causes, fault.context["url"]) == ([code], about), fault.context

    with talker(lambda _: None) as closed:
        pass
    with talker(nonsense) as babble:
        with_browser(work, world, babble, closed)


def test_what_a_page_does_without_end_is_its_own_end(world: Site) -> None:
    async def work(client: Client) -> None:
        for path, wait, code in [
            ("/alerts", "0s", "TIMEOUT"),
            ("/loads", "40s", "BODY_TOO_LARGE"),
            ("/sends", "40s", "BODY_TOO_LARGE"),
            ("/blobs", "40s", "WEBPAGE_CRASHED"),
            ("/bomb", "0s", "WEBPAGE_CRASHED"),
        ]:
            url = world.url(path)
            fault = await client.refused(client.render(url, wait_after_loaded=wait))
            assert (fault.causes, fault.context["url"]) == ([code], url)
            assert await client.render(world.url("/fine")) == "fine"

    with_browser(work, world, render_timeout="10s", max_page_memory=LIMIT)


def test_a_page_opens_no_windows_and_is_one_process_whatever_it_shows(world: Site) -> None:
    elsewhere = [f"127.0.0.{number}" for number in range(2, 30)]

    async def work(client: Client) -> None:
        most = 0
        for path in ("/windows", "/frames"):
            page = client.render(world.url(path), wait_after_loaded="1s")
            rendering = asyncio.create_task(page)
            while not rendering.done():
                most = max(most, await asyncio.to_thread(renderers))
                await asyncio.sleep(0.05)
            assert await rendering == "x"
        assert most <= 4

    with site({"/framed": b"<p>framed"}, "0.0.0.0") as everywhere:
        frame = "<iframe src='http://{}:{}/framed'></iframe>"
        frames = "".join(frame.format(host, everywhere.port) for host in elsewhere)
        world.routes["/frames"] = f"<p>x{frames}".encode()
        with_module({"always_allow_hosts": [world.host, *elsewhere]}, work)
    assert everywhere.paths() == ["/framed"] * len(elsewhere)
    assert not [path for path in world.paths() if "?" in path], "no window was opened"


def test_each_request_of_a_page_has_a_connection_of_its_own(world: Site) -> None:
    """Else a server that keeps one, against what it was asked, would be sent requests that nobody
    has looked at, maybe another host's."""
    asked: list[bytes] = []
    page = b"""<p id=x>waits</p><script>(async () => {
        for (let i = 0; i < 5; i++) x.textContent = await (await fetch("/" + i)).text();
        x.textContent = await (await fetch("%s")).text() })()</script>"""

    def keeps(connection: socket.socket) -> None:
        while head := heard(connection):
            asked.append(head.partition(b" HTTP")[0])
            body = b"forged" if len(asked) > 1 else page % other.url().encode()
            connection.sendall(
                b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"
                b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nProxy-Connection: keep-alive\r\n"
                b"Content-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )

    genuine: Route = (200, {"access-control-allow-origin": "*"}, b"genuine")
    with talker(keeps) as forger, site({"/": genuine}) as other:

        async def work(client: Client) -> None:
            assert await client.render(forger.url(), wait_after_loaded="1s") == "genuine"

        with_browser(work, forger, other)
    assert asked == [b"GET /", *(b"GET /%d" % number for number in range(5))]


def test_pages_may_use_web_sockets(world: Site) -> None:
    def echo(connection: Any) -> None:
        for message in connection:
            connection.send(message[::-1])

    with serve(echo, "127.0.0.1", 0) as server, ThreadPoolExecutor(1) as threads:
        threads.submit(server.serve_forever)
        port = server.socket.getsockname()[1]
        world.routes["/socket"] = (
            b"""<p id=x></p><script>
            const socket = new WebSocket("ws://127.0.0.1:%d/");
            socket.onopen = () => socket.send("abc");
            socket.onmessage = event => x.textContent = event.data</script>"""
            % port
        )

        async def work(client: Client) -> None:
            assert await client.render(world.url("/socket"), wait_after_loaded="1s") == "cba"

        with_module({"always_allow_hosts": [world.host, f"127.0.0.1:{port}"]}, work)
        server.shutdown()


def test_a_message_without_end_from_the_browser_is_let_go_by() -> None:
    async def work() -> None:
        tools = DevTools()
        heard: list[Any] = []
        tools.on("Page.one", heard.append)
        piece = b"x" * (16 << 20)
        for _ in range(12):
            tools.data_received(piece)
        tools.data_received(b'\0{"method": "Page.one", "params": 1}\0')
        assert heard == [1]
        assert not tools.gone.done()

    asyncio.run(work())
