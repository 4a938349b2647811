"""Which URLs and addresses the web module lets through, without a network.

Source: docs/spec/05-modules.md#safety.
"""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.base.errors import BadRequest
from genvm_manager.protocol.framing import MAX_FRAME
from genvm_manager.workers.web.addresses import is_public
from genvm_manager.workers.web.browser.navigation import code_of
from genvm_manager.workers.web.config import parse_config
from genvm_manager.workers.web.decoding import Body, TooLarge, Undecodable
from genvm_manager.workers.web.faults import WebFault
from genvm_manager.workers.web.network import Network
from genvm_manager.workers.web.urls import UrlRules, parse

RULES = UrlRules()

LET_THROUGH = {
    "http://example.com": "http://example.com/",
    "HTTPS://EXAMPLE.com:443/a?b#c": "https://example.com/a?b",
    "http://example.com.": "http://example.com/",
    "https://example.com:80/": "https://example.com:80/",
    "http://bücher.de/ü?q=ä b": "http://xn--bcher-kva.de/%C3%BC?q=%C3%A4%20b",
    "http://пример.рф/": "http://xn--e1afmkfd.xn--p1ai/",
    "http://example。com/": "http://example.com/",
    "http://example.com/a%2Fb": "http://example.com/a%2Fb",
    "http://example.com?x=1": "http://example.com/?x=1",
}

REFUSED = {
    "file:///etc/passwd": "SCHEMA_FORBIDDEN",
    "ftp://example.com/": "SCHEMA_FORBIDDEN",
    "data:text/html,x": "SCHEMA_FORBIDDEN",
    "javascript:alert(1)": "SCHEMA_FORBIDDEN",
    "blob:http://example.com/x": "SCHEMA_FORBIDDEN",
    "view-source:http://example.com/": "SCHEMA_FORBIDDEN",
    "chrome://version": "SCHEMA_FORBIDDEN",
    "": "MALFORMED_URL",
    "example.com": "MALFORMED_URL",
    "http:example.com": "MALFORMED_URL",
    "http:/example.com": "MALFORMED_URL",
    "http:///path": "MALFORMED_URL",
    "http://": "MALFORMED_URL",
    "http://user@example.com/": "MALFORMED_URL",
    "http://example.com@127.0.0.1/": "MALFORMED_URL",
    "http://127.0.0.1\\@example.com/": "MALFORMED_URL",
    "http://example.com\\@10.0.0.1/": "MALFORMED_URL",
    "http://exa mple.com/": "MALFORMED_URL",
    "http://exa\tmple.com/": "MALFORMED_URL",
    "http://example.com\n/": "MALFORMED_URL",
    "http://ex%61mple.com/": "MALFORMED_URL",
    "http://example..com/": "MALFORMED_URL",
    "http://-example.com/": "MALFORMED_URL",
    "http://example.com:0/": "MALFORMED_URL",
    "http://example.com:65536/": "MALFORMED_URL",
    "http://example.com:x/": "MALFORMED_URL",
    "http://[::1/": "MALFORMED_URL",
    "http://[not]/": "MALFORMED_URL",
    "http://" + "a" * 300 + ".com/": "MALFORMED_URL",
    "http://example.com/" + "a" * 20_000: "MALFORMED_URL",
    "http://example.com:8080/": "PORT_FORBIDDEN",
    "http://example.com:22/": "PORT_FORBIDDEN",
    "http://localhost/": "TLD_FORBIDDEN",
    "http://localhost./": "TLD_FORBIDDEN",
    "http://LOCALHOST/": "TLD_FORBIDDEN",
    "http://foo.localhost/": "TLD_FORBIDDEN",
    "http://127.0.0.1/": "TLD_FORBIDDEN",
    "http://127.0.0.1./": "TLD_FORBIDDEN",
    "http://127.1/": "TLD_FORBIDDEN",
    "http://2130706433/": "TLD_FORBIDDEN",
    "http://0x7f000001/": "TLD_FORBIDDEN",
    "http://0x7f.0.0.0x1/": "TLD_FORBIDDEN",
    "http://0177.0.0.1/": "TLD_FORBIDDEN",
    "http://017700000001/": "TLD_FORBIDDEN",
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/": "TLD_FORBIDDEN",
    "http://127。0。0。1/": "TLD_FORBIDDEN",
    "http://[::1]/": "TLD_FORBIDDEN",
    "http://[::]/": "TLD_FORBIDDEN",
    "http://[::ffff:127.0.0.1]/": "TLD_FORBIDDEN",
    "http://[::ffff:7f00:1]/": "TLD_FORBIDDEN",
    "http://[0:0:0:0:0:ffff:127.0.0.1]/": "TLD_FORBIDDEN",
    "http://[::127.0.0.1]/": "TLD_FORBIDDEN",
    "http://[64:ff9b::7f00:1]/": "TLD_FORBIDDEN",
    "http://[2002:7f00:1::]/": "TLD_FORBIDDEN",
    "http://[fe80::1%25eth0]/": "MALFORMED_URL",
    "http://[fd00:ec2::254]/": "TLD_FORBIDDEN",
    "http://0/": "TLD_FORBIDDEN",
    "http://0.0.0.0/": "TLD_FORBIDDEN",
    "http://127.0.0.1.:80/": "TLD_FORBIDDEN",
    "http://0x7F000001/": "TLD_FORBIDDEN",
    "http://0x/": "TLD_FORBIDDEN",
    "http://127.0x0.0.01/": "TLD_FORBIDDEN",
    "http://\u2460\u2461\u2466.0.0.1/": "TLD_FORBIDDEN",
    "http://loc\u00adalhost/": "TLD_FORBIDDEN",
    "http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/": "TLD_FORBIDDEN",
    "http://example.com..../": "MALFORMED_URL",
    "http://xn--/": "MALFORMED_URL",
    "http://xn--localhost-/": "MALFORMED_URL",
    "http://10.0.0.1/": "TLD_FORBIDDEN",
    "http://169.254.169.254/latest/meta-data/": "TLD_FORBIDDEN",
    "http://8.8.8.8/": "TLD_FORBIDDEN",
    "http://metadata.google.internal/": "TLD_FORBIDDEN",
    "http://printer.local/": "TLD_FORBIDDEN",
    "http://intranet/": "TLD_FORBIDDEN",
}

PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::808:808"]

NOT_PUBLIC = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "172.31.255.255",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "224.0.1.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::808:808",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "1::1",
    "2001:1::1",
    "2001:20::1",
    "2a00:1450::5efe:7f00:1",
    "2a00:1450::200:5efe:a00:1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("url", LET_THROUGH)
def test_a_public_url_is_let_through_in_its_one_form(url: str) -> None:
    assert RULES.check(url).url == LET_THROUGH[url]


@pytest.mark.parametrize("url", REFUSED, ids=lambda url: url[:50])
def test_any_other_is_refused_with_its_code(url: str) -> None:
    with pytest.raises(WebFault) as caught:
        RULES.check(url)
    assert caught.value.causes == [REFUSED[url]]
    assert caught.value.context["reason"]


def test_what_the_operator_names_skips_port_and_name() -> None:
    rules = UrlRules(["internal"], ["localhost", "10.0.0.1:8080", "[::1]:99"])
    for url in ("http://localhost:1234/", "http://10.0.0.1:8080/", "http://[::1]:99/",
                "http://a.internal/"):  # fmt: skip
        rules.check(url)
    assert rules.check_place("::1", 99) == rules.check_place("[0::1]", 99) == "::1"
    for url in ("http://10.0.0.1/", "http://[::1]/", "http://a.internal:8080/"):
        with pytest.raises(WebFault):
            rules.check(url)
    with pytest.raises(WebFault) as caught:
        rules.check("file://localhost/etc/passwd")
    assert caught.value.causes == ["SCHEMA_FORBIDDEN"]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_nobody_is_to_reach(address: str) -> None:
    assert not is_public(address)


@given(st.text(max_size=60))
def test_whatever_the_text_it_is_read_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"https://example.com/{text}"):
        try:
            target = parse(url)
        except WebFault:
            continue
        assert parse(target.url) == target, "its one form means the same"


@given(st.binary(max_size=5_000), st.integers(1, 700))
def test_a_packed_body_however_it_is_cut_up(content: bytes, step: int) -> None:
    packed = gzip.compress(content)
    body = Body(len(content), b"gzip")
    for start in range(0, len(packed), step):
        body.append(packed[start : start + step])
    assert body.content() == content


PACKED = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
    b" Deflate ": lambda content: zlib.compress(content)[2:-4],
}


@pytest.mark.parametrize("coding", PACKED)
def test_a_bomb_is_noticed_before_it_unfolds(coding: bytes) -> None:
    body = Body(1_000, coding)
    tracemalloc.start()
    try:
        bomb = PACKED[coding](bytes(100 << 20))
        tracemalloc.reset_peak()
        with pytest.raises(TooLarge):
            body.append(bomb)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_several_packed_streams_are_one_body(step: int) -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two") + bytes(9)
    body = Body(7, b"gzip")
    for start in range(0, len(packed), step):
        body.append(packed[start : start + step])
    assert body.content() == b"one two"


@pytest.mark.parametrize("coding", PACKED)
def test_a_packed_body_without_its_end_is_refused(coding: bytes) -> None:
    body = Body(1_000, coding)
    body.append(PACKED[coding](b"whole")[:-1])
    with pytest.raises(Undecodable, match="cut off"):
        body.content()
    assert Body(0, coding).content() == b"", "nothing at all is an answer to HEAD"


def test_streams_without_end_and_without_content_are_bounded_by_what_unfolds() -> None:
    body = Body(10, b"gzip")
    body.append(gzip.compress(b"") * 10_000 + gzip.compress(b"12345678"))
    assert body.content() == b"12345678"
    with pytest.raises(TooLarge):
        body.append(gzip.compress(b"910") * 2)


@pytest.mark.parametrize("host", ["", "http://example.com", "a b", "x:y", "user@x", "[::1", "[x]"])
def test_a_host_that_the_operator_misspells_is_named(host: str) -> None:
    with pytest.raises(ValueError, match=r"^always_allow_hosts: expected NAME or NAME:PORT, got"):
        UrlRules([], [host])


@pytest.mark.parametrize("server", ["nonsense", "1.2.3", "1.2.3.4:x", "dns.example.com"])
def test_a_name_server_that_the_operator_misspells_is_named(server: str) -> None:
    with pytest.raises(ValueError, match=r"^dns_servers: expected ADDRESS or ADDRESS:PORT, got"):
        Network(RULES, [server])


def test_a_trusted_host_may_be_spelt_in_many_ways() -> None:
    rules = UrlRules([], [" B\u00fccher.de. ", "EXAMPLE.com:080", "::1", "[0:0::2]:7", "1.2.3.4"])
    for host, port in [("xn--bcher-kva.de", 1), ("example.com", 80), ("::1", 5), ("::2", 7),
                       ("1.2.3.4", 9)]:  # fmt: skip
        assert rules.is_trusted(host, port)
    assert not rules.is_trusted("example.com", 81)


@pytest.mark.parametrize("size", [0, MAX_FRAME])
def test_a_body_has_to_fit_into_a_frame(size: int) -> None:
    with pytest.raises(BadRequest, match="config: max_body"):
        parse_config({"max_body": size})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("net::ERR_TOO_MANY_REDIRECTS", "TOO_MANY_REDIRECTS"),
        ("net::ERR_CERT_DATE_INVALID", "CONNECTION_FAILED"),
        ("net::ERR_CONNECTION_RESET", "CONNECTION_FAILED"),
        ("net::ERR_INVALID_REDIRECT", "MALFORMED_URL"),
        ("net::ERR_INVALID_HTTP_RESPONSE", "MALFORMED_RESPONSE"),
        ("net::ERR_FAILED", "WEBPAGE_LOAD_FAILED"),
        ("", "WEBPAGE_LOAD_FAILED"),
    ],
)
def test_chromiums_errors_have_codes_of_ours(error: str, code: str) -> None:
    assert code_of(error) == code
