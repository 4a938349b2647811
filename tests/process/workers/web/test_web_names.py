"""Names that lead inside: a name server that lies, changes its mind, or knows nothing.

Source: docs/spec/05-modules.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from genvm_manager.workers.web.faults import WebFault
from tests.support.web_module import NO_BROWSER, Client, with_module
from tests.support.web_world import NameServer, Site, name_server, site

ZONE = {
    "loopback.example.com": [["127.0.0.1"]],
    "loopback6.example.com": [["::1"]],
    "mapped.example.com": [["::ffff:127.0.0.1"]],
    "private.example.com": [["10.0.0.1", "192.168.1.1"]],
    "metadata.example.com": [["169.254.169.254"]],
    "zero.example.com": [["0.0.0.0"]],
    "link-local.example.com": [["fe80::1"]],
    "unique-local.example.com": [["fd00:ec2::254"]],
    "shared.example.com": [["100.64.0.1"]],
    "nat64.example.com": [["64:ff9b::7f00:1"]],
    "6to4.example.com": [["2002:7f00:1::"]],
    "teredo.example.com": [["2001:0:4136:e378:8000:63bf:3fff:fdd2"]],
    "isatap.example.com": [["2a00:1450::5efe:a00:1"]],
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
    async def work(client: Client) -> None:
        for url in (f"http://{name}/", f"https://{name}./", f"http://{name.upper()}/"):
            fault = await client.refused(client.request(url))
            assert fault.causes == ["ADDRESS_FORBIDDEN"], url
            assert fault.context["url"] == url

    with_module({**NO_BROWSER, "dns_servers": [names.address]}, work)


def test_a_name_in_other_letters_is_the_same_name(names: NameServer) -> None:
    assert refusal(names, "http://b\u00fccher.example.com/").causes == ["ADDRESS_FORBIDDEN"]


def test_a_name_that_nobody_knows(names: NameServer) -> None:
    assert refusal(names, "http://unknown.example.com/").causes == ["HOST_NOT_FOUND"]


def test_name_servers_that_do_not_know_about_one_kind_of_address(names: NameServer) -> None:
    try:
        names.fails_for = {"AAAA"}
        assert refusal(names, "http://loopback.example.com/").causes == ["ADDRESS_FORBIDDEN"]
        assert refusal(names, "http://unknown.example.com/").causes == ["CONNECTION_FAILED"]
        names.fails_for = {"A", "AAAA"}
        fault = refusal(names, "http://loopback.example.com/")
        assert fault.causes == ["CONNECTION_FAILED"]
        assert "no name server answers" in fault.context["reason"]
    finally:
        names.fails_for = set()


def test_a_redirect_to_such_a_name_is_refused_too(names: NameServer, inside: Site) -> None:
    inside.routes["/away"] = (302, {"location": "http://loopback.example.com/"}, b"")
    fault = refusal(names, inside.url("/away"), always_allow_hosts=[inside.host])
    assert fault.causes == ["ADDRESS_FORBIDDEN"]
    assert fault.context["url"] == "http://loopback.example.com/"


def test_a_name_that_the_operator_allows_is_asked_of_his_own_name_servers(
    names: NameServer, inside: Site
) -> None:
    async def work(client: Client) -> bytes:
        body: bytes = (await client.request(f"http://loopback.example.com:{inside.port}/"))["body"]
        return body

    hosts = [f"loopback.example.com:{inside.port}"]
    config = {**NO_BROWSER, "dns_servers": [names.address], "always_allow_hosts": hosts}
    assert with_module(config, work) == b"the operator's own"
    assert refusal(names, "http://loopback.example.com/", always_allow_hosts=hosts).causes == [
        "ADDRESS_FORBIDDEN"
    ], "on the port that he named alone"


def test_names_the_operator_allows_that_are_no_domains_are_looked_up_here(
    names: NameServer, inside: Site
) -> None:
    async def work(client: Client) -> bytes:
        body: bytes = (await client.request(f"http://localhost:{inside.port}/"))["body"]
        return body

    config = {**NO_BROWSER, "dns_servers": [names.address], "always_allow_hosts": ["localhost"]}
    assert with_module(config, work) == b"the operator's own"
    assert "localhost" not in names.asked
