"""Where the host loop of a run may be."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.settings.config import parse_config
from genvm_manager.manager.api.run_hosts import RunHosts

PORT = 3999


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Iterator[str]:
    """A Unix socket at which the service listens, outside of the state folder."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "http.sock"))
        yield listener.getsockname()


def refusal(rules: RunHosts, host: str) -> str:
    with pytest.raises(BadRequest) as raised:
        rules.check(host)
    assert raised.value.message.startswith("host: ")
    return raised.value.message


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.9.8.7",
        "localhost",
        "LocalHost",
        "localhost.",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:0:0:1]",
    ],
)
@pytest.mark.parametrize("patterns", [None, ("tcp://*:*",)])
def test_our_own_port_is_refused_however_it_is_spelt(
    host: str, patterns: tuple[str, ...] | None, state: Path
) -> None:
    rules = RunHosts(patterns, state, [("127.0.0.1", PORT)])
    assert "is this service itself" in refusal(rules, f"tcp://{host}:{PORT}")
    rules.check(f"tcp://{host}:{PORT + 1}")


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1@x"])
def test_what_only_some_programs_take_for_an_address_is_none(host: str, state: Path) -> None:
    rules = RunHosts(None, state, [("127.0.0.1", PORT)])
    assert "expected unix://PATH or tcp://HOST:PORT" in refusal(rules, f"tcp://{host}:{PORT}")


def test_a_name_with_our_port_has_to_be_known(state: Path) -> None:
    rules = RunHosts(None, state, [("127.0.0.1", PORT)])
    assert "cannot be looked up" in refusal(rules, f"tcp://nowhere.invalid:{PORT}")
    rules.check("tcp://nowhere.invalid:80")
    rules.check(f"tcp://192.0.2.1:{PORT}")


def test_paths_that_lead_to_our_sockets_are_refused(state: Path, own: str, tmp_path: Path) -> None:
    rules = RunHosts(("unix:///*",), state, [own])
    (tmp_path / "link.sock").symlink_to(own)
    os.link(own, tmp_path / "hard.sock")
    (tmp_path / "folder").symlink_to(tmp_path)
    for path in (own, "link.sock", "hard.sock", "folder/http.sock", "state/../http.sock"):
        assert "is this service itself" in refusal(rules, f"unix://{tmp_path / path}")
    for path in ("supervisor.sock", "../state/supervisor.sock", ".//supervisor.sock"):
        assert "is this service itself" in refusal(rules, f"unix://{state}/{path}")


def test_what_is_in_the_state_folder_has_to_be_listed(state: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(state)
    hosts = [f"unix://{state}/node/host.sock", f"unix://{tmp_path}/link/node/host.sock"]
    for host in hosts:
        assert "allowed_hosts_of_runs" in refusal(RunHosts(None, state, []), host)
        RunHosts((f"unix://{state}/node/*",), state, []).check(host)
        RunHosts((f"unix://{tmp_path}/link/node/*",), state, []).check(host)
    RunHosts(None, state, []).check(f"unix://{tmp_path}/host.sock")


def test_the_local_node_may_be_where_temporary_files_are_in_it() -> None:
    # In a short path, as a socket's is bounded.
    with tempfile.TemporaryDirectory(prefix="genvm-") as folder:
        rules = RunHosts(None, Path(folder), [])
        rules.check(f"unix://{folder}/temporary/genvm-node-1/host.sock")
        for path in (
            "temporary/genvm-run-1/host.sock",
            "temporary/genvm-node-1/supervisor.sock",
            "temporary/genvm-node-1/more/host.sock",
            "genvm-node-1/host.sock",
            "tmp/genvm-node-1/host.sock",
        ):
            assert "allowed_hosts_of_runs" in refusal(rules, f"unix://{folder}/{path}")


@pytest.mark.parametrize(
    ("pattern", "allowed", "refused"),
    [
        ("unix:///run/node/*", "unix:///run/node/a/host.sock", "unix:///run/node2/host.sock"),
        ("unix:///run/node/*", "unix:///run/x/../node/a", "unix:///run/node/../host.sock"),
        ("unix:///run/a+b.sock", "unix:///run/a+b.sock", "unix:///run/aab.sock"),
        ("tcp://10.0.0.*:*", "tcp://10.0.0.7:80", "tcp://10.0.1.7:80"),
        ("tcp://Node.example:80", "tcp://NODE.example.:80", "tcp://node.example:81"),
        ("tcp://*.example:80", "tcp://a.b.example:80", "tcp://example:80"),
        ("tcp://[::1]:*", "tcp://[0:0::1]:80", "tcp://[::2]:80"),
        ("tcp://10.0.0.1:80", "tcp://[::ffff:10.0.0.1]:80", "unix:///run/node.sock"),
    ],
)
def test_patterns(pattern: str, allowed: str, refused: str, state: Path) -> None:
    config, _ = parse_config(f"allowed_hosts_of_runs: ['{pattern}']")
    rules = RunHosts(config.allowed_hosts_of_runs, state, [])
    rules.check(allowed)
    assert "allowed_hosts_of_runs" in refusal(rules, refused)


@pytest.mark.parametrize("pattern", ["", "*", "unix://*", "tcp://a", "http://a:1", "tcp://a b:1"])
def test_what_is_no_pattern_is_said_at_the_start(pattern: str) -> None:
    with pytest.raises(BadRequest, match="allowed_hosts_of_runs: expected unix://PATH"):
        parse_config(f"allowed_hosts_of_runs: ['{pattern}']")


@pytest.mark.parametrize(
    "path",
    [
        "/proc/self/cwd/supervisor.sock",
        "//proc//thread-self/../self/cwd/supervisor.sock",
        "/proc/999999/cwd/supervisor.sock",
        "/dev/fd/3",
        "{links}/relative/self/cwd/x.sock",
        "{links}/whole/x.sock",
    ],
)
@pytest.mark.parametrize("patterns", [None, ("unix:///*",)])
def test_what_is_another_file_to_the_executor_is_refused(
    path: str, patterns: tuple[str, ...] | None, state: Path, tmp_path: Path
) -> None:
    """The executor's working folder is the state folder."""
    up = "../" * len(tmp_path.parts)
    (tmp_path / "relative").symlink_to(f"{up}proc")
    (tmp_path / "whole").symlink_to("/proc/self/cwd")
    rules = RunHosts(patterns, state, [])
    message = refusal(rules, "unix://" + path.format(links=tmp_path))
    assert "leads through /proc" in message


def test_a_link_to_itself_leads_nowhere(state: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    RunHosts(None, state, []).check(f"unix://{tmp_path}/loop/x.sock")
