"""Names that lead inside: a name server that lies, changes its mind, or knows nothing (spec 05)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.web_module import NO_BROWSER, Client, with_module
from tests.support.web_world import NameServer, Site, name_server, site
from workers.web.faults import WebFault

ZONE = {
    "loopback.example.com": [["127.0.0.1"]],
    "loopback6.example.com": [["::1"]],
    "mapped.example.com": [["::ffff:127.0.0.1"]],
    "private.example.com": [["10.0.0.1", "192.168.1.1"]],
    "metadata.example.com": [["169.254.169.254"]],
    "zero.example.com": [["0.0.0.0"]],
    "nat64.example.com": [["64:ff9b::7f00:1"]],
    "xn--bcher-kva.example.com": [["127.0.0.1"]],
}


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with name_server(ZONE) as served:
        yield served


@pytest.fixture(scope="module")
def inside() -> Iterator[Site]:
    with site({"/": b"the operator's own"}) as served:
        yield served


def refusal(names: NameServer, url: str, **config: Any) -> WebFault:
    async def work(client: Client) -> WebFault:
        return await client.refused(client.request(url))

    return with_module({**NO_BROWSER, "dns_servers": [names.address], **config}, work)


@pytest.mark.parametrize("name", [name for name in ZONE if "xn--" not in name])
def test_a_name_that_leads_inside_is_refused(names: NameServer, name: str) -> None:
    for url in (f"http://{name}/", f"https://{name}./", f"http://{name.upper()}/"):
        fault = refusal(names, url)
        assert fault.causes == ["ADDRESS_FORBIDDEN"], url
        assert fault.context["url"] == url


def test_a_name_in_other_letters_is_the_same_name(names: NameServer) -> None:
    assert refusal(names, "http://b\u00fccher.example.com/").causes == ["ADDRESS_FORBIDDEN"]


def test_a_name_that_nobody_knows(names: NameServer) -> None:
    assert refusal(names, "http://unknown.example.com/").causes == ["HOST_NOT_FOUND"]


def test_a_redirect_to_such_a_name_is_refused_too(names: NameServer, inside: Site) -> None:
    inside.routes["/away"] = (302, {"location": "http://loopback.example.com/"}, b"")
    fault = refusal(names, inside.url("/away"), always_allow_hosts=[inside.host])
    assert fault.causes == ["ADDRESS_FORBIDDEN"]
    assert fault.context["url"] == "http://loopback.example.com/"


def test_names_the_operator_allows_are_looked_up_here_and_not_in_dns(
    names: NameServer, inside: Site
) -> None:
    async def work(client: Client) -> bytes:
        body: bytes = (await client.request(f"http://localhost:{inside.port}/"))["body"]
        return body

    config = {**NO_BROWSER, "dns_servers": [names.address], "always_allow_hosts": ["localhost"]}
    assert with_module(config, work) == b"the operator's own"
    assert "localhost" not in names.asked
