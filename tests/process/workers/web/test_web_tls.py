"""HTTPS, in requests and in pages: who is believed, and what may be done there.

Source: docs/spec/05-modules.md.
"""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.certificates import Certificate, make_certificate
from tests.support.web_browser import browser_trusting, needs_browser
from tests.support.web_module import NO_BROWSER, Client, with_module
from tests.support.web_world import (
    FINE,
    FORGED,
    NameServer,
    Route,
    Site,
    heard,
    name_server,
    site,
    talker,
)

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="certificates take openssl")

NAME, OTHER = "shop.example.com", "other.example.com"
PAGE = b"""<p id=x>waits</p><script>(async () => {
    await navigator.serviceWorker.register("/worker.js");
    if (!navigator.serviceWorker.controller)
        await new Promise(done => navigator.serviceWorker.oncontrollerchange = done);
    x.textContent = await (await fetch("/told")).text() })()</script>"""
WORKER = b"""
self.addEventListener("activate", event => event.waitUntil(clients.claim()));
self.addEventListener("fetch", event => {
    if (event.request.url.endsWith("/told"))
        event.respondWith(fetch("https://inside.example.com/", {mode: "no-cors"}).then(
            () => new Response("reached"), () => new Response("refused")))
});
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"), NAME)


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    zone = {name: [["127.0.0.1"]] for name in (NAME, OTHER, "inside.example.com")}
    with name_server(zone) as served:
        yield served


@pytest.fixture(scope="module")
def shop(certificate: Certificate) -> Iterator[Site]:
    routes: dict[str, Route] = {
        "/": b"<p>sold",
        "/page": PAGE,
        "/worker.js": (200, {"content-type": "text/javascript"}, WORKER),
    }
    with site(routes, tls=certificate.server) as served:
        yield served


def settings(names: NameServer, *hosts: str, **more: Any) -> dict[str, Any]:
    return {"dns_servers": [names.address], "always_allow_hosts": list(hosts), **more}


def test_a_request_believes_who_is_vouched_for(
    names: NameServer, shop: Site, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(names, NAME, OTHER, **NO_BROWSER)

    async def work(client: Client) -> None:
        assert (await client.request(f"https://{NAME}:{shop.port}/"))["body"] == b"<p>sold"
        fault = await client.refused(client.request(f"https://{OTHER}:{shop.port}/"))
        assert fault.causes == ["CONNECTION_FAILED"]
        assert "certificate" in fault.context["reason"]

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    with_module(config, work)
    monkeypatch.delenv("SSL_CERT_FILE")

    async def unknown(client: Client) -> None:
        fault = await client.refused(client.request(f"https://{NAME}:{shop.port}/"))
        assert fault.causes == ["CONNECTION_FAILED"]

    with_module(config, unknown)


def test_who_speaks_no_tls_is_not_reached(names: NameServer) -> None:
    def plain(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        heard(connection)

    async def work(client: Client) -> None:
        for url in (server.url().replace("http:", "https:"), f"https://{NAME}:{server.port}/"):
            fault = await client.refused(client.request(url))
            assert fault.causes == ["CONNECTION_FAILED"]

    with talker(plain) as server:
        with_module(settings(names, server.host, NAME, **NO_BROWSER), work)


def test_what_comes_after_an_answer_in_another_record_is_no_answer_to_the_next_request(
    names: NameServer, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[int] = []

    def talk(plain: socket.socket) -> None:
        with certificate.server.wrap_socket(plain, server_side=True) as connection:
            connections.append(len(connections))
            while heard(connection):
                # Both in one segment: our side has them both once it has the first.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
                connection.sendall(FINE)
                if connections[-1] == 0:
                    connection.sendall(FORGED)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    async def work(client: Client) -> None:
        for _ in range(3):
            answer = await client.request(f"https://{NAME}:{server.port}/")
            assert answer["body"] == b"fine"

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    with talker(talk) as server:
        with_module(settings(names, NAME, **NO_BROWSER), work)
    assert len(connections) == 2


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(names: NameServer, certificate: Certificate) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(certificate.file, certificate.file.with_name("key.pem"))
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.maximum_version = ssl.TLSVersion.TLSv1_1

    async def work(client: Client) -> None:
        fault = await client.refused(client.request(f"https://{NAME}:{server.port}/"))
        assert fault.causes == ["CONNECTION_FAILED"]

    with site({}, tls=old) as server:
        with_module(settings(names, NAME, **NO_BROWSER), work)


@needs_browser
def test_a_page_over_tls_and_its_service_worker(
    names: NameServer, shop: Site, certificate: Certificate
) -> None:
    """A service worker outlives its page's scripts, and only secure pages may have one: it goes
    through the page's proxy all the same."""
    shop.asked.clear()

    async def work(client: Client) -> None:
        assert await client.render(f"https://{NAME}:{shop.port}/") == "sold"
        page = f"https://{NAME}:{shop.port}/page"
        assert await client.render(page, wait_after_loaded="3s") == "refused"
        assert "/worker.js" in shop.paths()

    with browser_trusting(certificate) as browser:
        with_module(settings(names, NAME, browser_path=browser), work)
    assert names.asked["inside.example.com"]


@needs_browser
def test_a_page_whose_server_nobody_vouches_for(names: NameServer, shop: Site) -> None:
    async def work(client: Client) -> None:
        url = f"https://{NAME}:{shop.port}/"
        fault = await client.refused(client.render(url))
        assert (fault.causes, fault.context["url"]) == (["CONNECTION_FAILED"], url)
        assert "ERR_CERT" in fault.context["reason"]

    with_module(settings(names, NAME), work)
