"""Where a run's host loop is: `unix:///PATH` or `tcp://HOST:PORT`.

Source: docs/spec/03-run-request.md#the-request.
"""

from __future__ import annotations

import re

from genvm_manager.base.files.state_folder import MAX_SOCKET_PATH

from .host_port import HostPort, parse_host_port

_UNIX_PATTERN = re.compile(r"unix:///[^\x00-\x1f\x7f]*")
_TCP_PATTERN = re.compile(r"tcp://[0-9A-Za-z_.*:%\[\]-]+:[0-9*]{1,5}")
_EXPECTED = "expected unix://PATH or tcp://HOST:PORT"


def parse_run_host(text: str) -> str | HostPort:
    """Return the path of a Unix socket, or a host and port. Raises `ValueError`."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "unix":
        return _socket_path(rest)
    if not separator or scheme != "tcp":
        raise ValueError(f"{_EXPECTED}, got {text[:60]!r}")
    try:
        place = parse_host_port(rest)
    except ValueError as error:
        raise ValueError(f"{_EXPECTED}; {error}") from None
    if not place.port:
        raise ValueError(f"{_EXPECTED}; nobody listens at port 0")
    return place


def _socket_path(path: str) -> str:
    """Return the path if argv and log lines can hold it: no control characters or lone surrogates.

    Raises `ValueError`.
    """
    if not path.startswith("/") or not path.isprintable():
        raise ValueError("expected unix:///PATH, absolute and without control characters")
    if len(path.encode()) > MAX_SOCKET_PATH:
        raise ValueError(f"expected unix:///PATH of at most {MAX_SOCKET_PATH} bytes")
    return path


def check_pattern(pattern: str) -> None:
    """Check that a pattern can match hosts of runs, as `unix:///run/node/*` and `tcp://*:80` do.

    Raises `ValueError`.
    """
    if not _UNIX_PATTERN.fullmatch(pattern) and not _TCP_PATTERN.fullmatch(pattern):
        raise ValueError(
            f"allowed_hosts_of_runs: {_EXPECTED}, with * for any characters, got {pattern[:60]!r}"
        )
