"""Numbers and hosts in text have one reading."""

from __future__ import annotations

import click
import pytest

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.network.host_port import HostPort, is_host, parse_host_port
from genvm_manager.base.network.listeners import AddressError, split_address
from genvm_manager.base.network.run_host import parse_run_host
from genvm_manager.base.settings.config import parse_config
from genvm_manager.base.text.numbers import decimal_or_hexadecimal, whole_number
from genvm_manager.base.text.timestamps import parse_rfc3339
from genvm_manager.manager.cli.options.parameters import NumberType, UrlType
from genvm_manager.supervisor.modules.rules_configuration import module_config
from genvm_manager.workers.llm.config import check_host
from genvm_manager.workers.web.network import Network
from genvm_manager.workers.web.urls import UrlRules

NO_NUMBERS = [
    "",
    "1_000",
    " 12 ",
    "12\n",
    "+5",
    "-5",
    "٣",
    "\uff11\uff12",
    "²",
    "1.0",
    "1e3",
    "0b1",
    "9" * 99,
]
NO_HOSTS = [
    "",
    ".",
    "a..b",
    "a b",
    "a\nb",
    "a\0b",
    "a\x7fb",
    "a@b",
    "a:b@c",
    "a/b",
    "a?b",
    "a#b",
    "a%20b",
    "a,b",
    "-a",
    "a-",
    "x" * 64,
    "a." * 200 + "a",
    "bücher.example",
    "\u202eevil",
    "127.1",
    "127.0.0.01",
    "0x7f.0.0.1",
    "2130706433",
    "1.2.3.256",
    "١٢٧.0.0.1",
    ":::1",
    "fe80::1%a b",
]
HOSTS = ["localhost", "LOCALHOST", "a.example.", "a_b", "10.0.0.7", "::1", "fe80::1%eth0", "x" * 63]


@pytest.mark.parametrize("text", [*NO_NUMBERS, "0x10"])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="expected decimal digits"):
        whole_number(text, 10**90)
    with pytest.raises(click.BadParameter):
        NumberType(0, 10**90).convert(text, None, None)


def test_whole_numbers() -> None:
    assert [whole_number(text, 10) for text in ("0", "7", "010")] == [0, 7, 10]
    with pytest.raises(ValueError, match="at most 10"):
        whole_number("11", 10)


@pytest.mark.parametrize("text", [*NO_NUMBERS, "0x", "0X10", "0x_1", "0xg", "0x 1", "-0x1"])
def test_what_is_no_decimal_or_hexadecimal_number(text: str) -> None:
    with pytest.raises(ValueError, match="expected int in decimal digits"):
        decimal_or_hexadecimal(text)


def test_decimal_and_hexadecimal_numbers() -> None:
    assert decimal_or_hexadecimal("0x10") == decimal_or_hexadecimal("16") == 16


@pytest.mark.parametrize("host", HOSTS)
def test_hosts(host: str) -> None:
    assert is_host(host)
    place = HostPort(host, 80)
    assert parse_host_port(str(place)) == place


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host_is_one_nowhere(host: str) -> None:
    assert not is_host(host)
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        parse_host_port(f"{host}:80")
    with pytest.raises(ValueError, match="expected unix://PATH or tcp://HOST:PORT"):
        parse_run_host(f"tcp://{host}:80")
    with pytest.raises(AddressError, match="bind_address: expected HOST:PORT"):
        split_address(f"{host}:80")
    if host:
        with pytest.raises(BadRequest, match="bind_address: expected HOST:PORT"):
            module_config({"bind_address": f"{host}:80"}, {})
        with pytest.raises(BadRequest, match="host: expected a name"):
            module_config({"host": host, "port": 80}, {})
    if host not in ("a/b", "a?b", "a#b"):
        with pytest.raises(ValueError, match="host: "):
            check_host(f"http://{host}")
        with pytest.raises(click.BadParameter):
            UrlType().convert(f"http://{host}", None, None)
    with pytest.raises(ValueError, match="dns_servers"):
        Network(UrlRules(), [f"{host}:53"])
    with pytest.raises(BadRequest, match="allowed_hosts: expected names"):
        parse_config(f"allowed_hosts: [{_quoted(host)}]")


@pytest.mark.parametrize("port", [*NO_NUMBERS, "65536", "99999", "80/x", "80 "])
def test_what_is_no_port_is_one_nowhere(port: str) -> None:
    for parse in (parse_host_port, split_address):
        with pytest.raises((ValueError, AddressError), match="expected"):
            parse(f"localhost:{port}")
    with pytest.raises(ValueError, match="expected"):
        parse_run_host(f"tcp://localhost:{port}")
    with pytest.raises(BadRequest, match="bind_address: expected HOST:PORT"):
        module_config({"bind_address": f"localhost:{port}"}, {})
    with pytest.raises(ValueError, match="dns_servers"):
        Network(UrlRules(), [f"127.0.0.1:{port}"])


@pytest.mark.parametrize(
    "host",
    [
        "unix://relative",
        "unix://",
        "unix:///a\nb",
        "unix:///a\0b",
        "unix:///a\u2028b",
        "unix:///\ud800",
        "unix://@abstract",
        "UNIX:///a",
        "TCP://a:1",
        "tcp://a:0",
        "tcp://a:1/",
        "tcp://a",
        "tcp:a:1",
        "http://a:1",
        "fd://3",
        "",
    ],
)
def test_what_is_no_host_of_a_run(host: str) -> None:
    with pytest.raises(ValueError, match="expected unix://"):
        parse_run_host(host)


def test_hosts_of_runs() -> None:
    assert parse_run_host("unix:///run/a b/host.sock") == "/run/a b/host.sock"
    assert parse_run_host("tcp://[::1]:80") == HostPort("::1", 80)


def test_name_servers_by_address_with_and_without_port() -> None:
    Network(UrlRules(), ["127.0.0.1", "127.0.0.1:53", "::1", "[::1]", "[::1]:53"])


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00",
        "20260131T120000Z",
        "2026-W05-6T12:00:00Z",
        "2026-01-31\n12:00:00Z",
        "2026-01-31T12:00Z",
        "2026-01-31T12:00:00,5Z",
        "2026-01-31T12:00:00+0100",
        "٢٠٢٦-01-31T12:00:00Z",
        " 2026-01-31T12:00:00Z",
    ],
)
def test_what_is_no_rfc3339_time(text: str) -> None:
    with pytest.raises(ValueError, match="expected RFC 3339"):
        parse_rfc3339(text)


def _quoted(text: str) -> str:
    """A YAML scalar in double quotes."""
    return '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'
