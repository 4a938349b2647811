"""The small pure rules of `base`, and how errors and commands cross the supervisor's socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from genvm_manager.base import errors
from genvm_manager.base.files.state_folder import default_state_folder, supervisor_socket
from genvm_manager.base.process.backoff import Backoff
from genvm_manager.base.settings.config import Config, parse_config
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.base.text.timestamps import parse_rfc3339, to_rfc3339
from genvm_manager.protocol.ipc import codec
from genvm_manager.protocol.ipc.replies import Failure


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("30s", 30), ("10.5m", 630), ("1h", 3600), ("0s", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "-5s", "5 s", "5d", "s", "1e3s", "٣s", "5s\n"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


def test_times_go_round() -> None:
    assert to_rfc3339(0.25) == "1970-01-01T00:00:00.250Z"
    assert parse_rfc3339("1970-01-01T01:00:00.250+01:00").timestamp() == 0.25
    for wrong in ("", "noon", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z"):
        with pytest.raises(ValueError, match="expected RFC 3339"):
            parse_rfc3339(wrong)


def test_restarts_come_slower_and_slower_and_then_no_more() -> None:
    policy = Backoff(first_delay=1, max_delay=5, window=100, max_crashes=5)
    crashes = [float(at) for at in range(10)]
    delays = [policy.next_delay(crashes[:count], now=10) for count in range(1, 7)]
    assert delays == [1, 2, 4, 5, None, None]


def test_old_crashes_are_forgiven() -> None:
    policy = Backoff(first_delay=1, window=60, max_crashes=3)
    assert policy.next_delay([0, 1, 2, 100], now=100) == 1


def test_configuration() -> None:
    assert parse_config("") == (Config(), [])
    config, unknown = parse_config("permits: {total: 8}\nlua_script_path: x\n")
    assert config.permits.total == 8
    assert config.permits.dearest == 2
    assert unknown == ["lua_script_path"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("permits: {sync: 0}", "permits.sync: expected int >= 1"),
        ("permits: 5", "permits: expected object, got int"),
        ("drain_timeout: soon", "drain_timeout: expected a duration"),
        ("log_level: loud", "log_level: expected debug, error, info, trace, warn, got 'loud'"),
        ("[1]", "config: expected a map"),
        ("a: [", "config: not YAML"),
        ("a: " + "[" * 10_000, "config: not YAML"),
    ],
)
def test_configuration_at_fault(text: str, message: str) -> None:
    with pytest.raises(errors.BadRequest) as caught:
        parse_config(text)
    assert caught.value.message.startswith(message)


def test_state_folder() -> None:
    assert default_state_folder({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s/genvm-manager")
    own = Path("/h/.local/state/genvm-manager")
    assert default_state_folder({"HOME": "/h"}) == own
    assert default_state_folder({"XDG_STATE_HOME": "relative", "HOME": "/h"}) == own
    with pytest.raises(ValueError, match="too long for a Unix socket"):
        supervisor_socket(Path("/" + "x" * 120))


@pytest.mark.parametrize("kind", [errors.BadRequest, errors.RunNotFound, errors.RequestFailed])
def test_errors_keep_their_class_over_the_wire(kind: type[errors.ManagerError]) -> None:
    failure = codec.decode_reply(codec.encode(Failure.of(kind("why"))))
    assert isinstance(failure, Failure)
    assert type(failure.error()) is kind
    assert failure.error().message == "why"


def test_unavailable_keeps_when_to_come_back() -> None:
    failure = Failure.of(errors.Unavailable("full", retry_after=7))
    error = failure.error()
    assert isinstance(error, errors.Unavailable)
    assert error.retry_after == 7


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80", b"\x81\xa4type\xa7Unknown"])
def test_what_is_no_command_or_reply(body: bytes) -> None:
    with pytest.raises(errors.BadRequest):
        codec.decode_command(body)
    with pytest.raises(errors.ManagerError):
        codec.decode_reply(body)
