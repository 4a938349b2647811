"""A host's name may have several addresses: all of this machine's are listened on, at one port."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from genvm_manager.base.network.listeners import AddressError, gunicorn_binds, listen_tcp, url_of
from genvm_manager.base.network.listening import Place, listen_at_each
from tests.support.names import LOCALHOST_OF_BOTH
from tests.support.service_manager import Listener
from tests.support.supervisor import PROJECT
from tests.support.waiting import TIMEOUT

FOREIGN = "192.0.2.1"
"""An address that no machine has."""

Resolve = Callable[..., None]


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Has `name.test` stand for the given addresses."""
    look_up = socket.getaddrinfo

    def stands_for(*addresses: str) -> None:
        def found(host: str, *arguments: object, **named: object) -> list[object]:
            hosts = addresses if host == "name.test" else (host,)
            return [each for one in hosts for each in look_up(one, *arguments, **named)]  # type: ignore[arg-type]

        monkeypatch.setattr(socket, "getaddrinfo", found)

    return stands_for


@pytest.fixture
def closed() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def urls(listeners: Sequence[socket.socket], closed: ExitStack) -> list[str]:
    """The listeners' URLs, without the port that they have in common."""
    ports = {closed.enter_context(each).getsockname()[1] for each in listeners}
    (port,) = ports
    return [url_of(each).removesuffix(f":{port}") for each in listeners]


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["127.0.0.1", "::1"], ["http://127.0.0.1", "http://[::1]"]),
        (["::1", "127.0.0.1"], ["http://[::1]", "http://127.0.0.1"]),
        (["127.0.0.1", "127.0.0.1", "127.0.0.1"], ["http://127.0.0.1"]),
        (["::1"], ["http://[::1]"]),
        ([FOREIGN, "127.0.0.1"], ["http://127.0.0.1"]),
        (["127.0.0.1", FOREIGN, "127.0.0.2"], ["http://127.0.0.1", "http://127.0.0.2"]),
        (["::", "0.0.0.0"], ["http://[::1]", "http://127.0.0.1"]),
    ],
)
def test_each_address_of_this_machine_is_taken_once(
    name: Resolve, closed: ExitStack, addresses: list[str], expected: list[str]
) -> None:
    name(*addresses)
    listeners = listen_tcp("name.test", 0)
    assert urls(listeners, closed) == expected
    for each in listeners:
        socket.create_connection(each.getsockname()[:2], TIMEOUT).close()


def test_a_port_that_is_taken_at_one_of_them_is_a_conflict(
    name: Resolve, closed: ExitStack
) -> None:
    name("127.0.0.1", "::1")
    (other,) = listen_tcp("::1", 0)
    closed.enter_context(other)
    port = other.getsockname()[1]
    with pytest.raises(AddressError, match=rf"port {port} on name.test \(::1\) is in use; stop"):
        listen_tcp("name.test", port)
    closed.enter_context(listen_tcp("127.0.0.1", port)[0])


def test_a_free_port_is_free_at_all_of_them(closed: ExitStack) -> None:
    refused: list[int] = []

    def listening(place: Place) -> socket.socket:
        family, (host, port, *_) = place
        if host == "::1" and not refused:
            refused.append(port)
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return socket.create_server((host, port), family=family)

    places: list[Place] = [
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_INET6, ("::1", 0, 0, 0)),
    ]
    made = [closed.enter_context(each) for each in listen_at_each(places, listening)]
    assert len(made) == 2
    assert len(refused) == 1
    assert len({each.getsockname()[1] for each in made}) == 1


@pytest.mark.parametrize(
    ("host", "addresses", "complaint"),
    [
        ("name.test", [FOREIGN], f"name.test ({FOREIGN}) cannot be listened on: Cannot assign"),
        (FOREIGN, [], f"port 0 on {FOREIGN} cannot be listened on: Cannot assign"),
        ("no.such.invalid", [], "host no.such.invalid: "),
        ("a" * 64, [], f"host '{'a' * 60}': expected a name or an IP address"),
        ("name.test", [f"127.0.0.{n}" for n in range(1, 10)], "the name has over 8 addresses"),
    ],
)
def test_a_name_with_none_is_an_error_that_says_so(
    name: Resolve, host: str, addresses: list[str], complaint: str
) -> None:
    name(*addresses)
    with pytest.raises(AddressError) as refusal:
        listen_tcp(host, 0)
    assert complaint in str(refusal.value)


def test_gunicorn_is_given_addresses_for_names_alone(name: Resolve) -> None:
    name("127.0.0.1", "::1", FOREIGN)
    assert gunicorn_binds("name.test:4000") == ["127.0.0.1:4000", "[::1]:4000"]
    first, second = gunicorn_binds("name.test:0")
    assert first.removeprefix("127.0.0.1") == second.removeprefix("[::1]") != ":0"
    for bind in ("unix:/run/x.sock", "fd://3", "127.0.0.1:0", "[::1]:4000", "0.0.0.0:80"):
        assert gunicorn_binds(bind) == [bind]
    with pytest.raises(
        AddressError,
        match="--bind: expected HOST:PORT, got 'nonsense'",
    ):
        gunicorn_binds("nonsense")


def test_http_alone_serves_at_all_addresses_of_its_setting(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(LOCALHOST_OF_BOTH)
    (tmp_path / "config.yaml").write_text("{http_workers: 1, bind_address: 'localhost:0'}")
    command = [
        sys.executable,
        "-m",
        "genvm_manager.manager.server",
        "--state-dir",
        str(tmp_path),
    ]
    command += ["--config", str(tmp_path / "config.yaml")]
    listener = Listener(tmp_path / "notify")
    environment = listener.environment | {"PYTHONPATH": str(tmp_path)}
    with closing(listener), subprocess.Popen(command, cwd=PROJECT, env=environment) as process:
        try:
            status = listener.hear_until("READY", "1")["STATUS"]
            addresses = status.removeprefix("on ").split(" and ")
            assert [each.rpartition(":")[0] for each in addresses] == [
                "http://127.0.0.1",
                "http://[::1]",
            ]
            for address in addresses:
                client = HTTPConnection(address.removeprefix("http://"), timeout=TIMEOUT)
                client.request("GET", "/healthz")
                assert client.getresponse().status == 200
                client.close()
        finally:
            process.terminate()
        assert process.wait(TIMEOUT) == 0
