"""Which URLs and addresses the web module lets through, without a network (spec 05, safety)."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.web.addresses import is_public
from workers.web.decoding import Body, TooLarge
from workers.web.faults import WebFault
from workers.web.urls import UrlRules, parse

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


def test_a_bomb_is_noticed_before_it_unfolds() -> None:
    body = Body(1_000, b"gzip")
    with pytest.raises(TooLarge):
        body.append(gzip.compress(bytes(100 << 20)))
