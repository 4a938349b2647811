"""Rules for the address of a run's host, to which the executor connects as the service's user."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from flask import Flask, current_app

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.files.state_folder import supervisor_socket, temporary_files
from genvm_manager.base.files.temporary_files import NODE_FOLDER, NODE_SOCKET
from genvm_manager.base.network.host_port import HostPort
from genvm_manager.base.network.local_addresses import leads_here
from genvm_manager.base.network.run_host import parse_run_host

SETTING = "allowed_hosts_of_runs"
_MOST_LINKS = 40
"""Symbolic links on the way to one file; the kernel follows no more."""

_EXTENSION = "genvm-run-hosts"


class RunHosts:
    """The rules of one service. Its own sockets are never allowed."""

    def __init__(
        self, patterns: Sequence[str] | None, state_folder: Path, listening: Iterable[object]
    ) -> None:
        """Take the `patterns` of the settings, and the names of the `listening` HTTP sockets, as
        `getsockname` returns them.
        """
        names = list(listening)
        self._patterns = patterns
        self._state_folder = state_folder
        self._ports = {name[1] for name in names if isinstance(name, tuple)}
        self._sockets = [os.fsdecode(name) for name in names if isinstance(name, (str, bytes))]
        with suppress(ValueError):
            self._sockets.append(str(supervisor_socket(state_folder)))

    def check(self, host: str) -> None:
        """Raise `BadRequest` unless a run's host may have this address. May resolve a name."""
        try:
            place = parse_run_host(host)
        except ValueError as error:
            raise BadRequest(f"host: {error}") from None
        if isinstance(place, str):
            self._check_path(host, place)
        else:
            self._check_place(host, place)

    def _check_path(self, host: str, path: str) -> None:
        if _leads_through_proc(path):
            raise BadRequest(
                f"host: {host!r} leads through /proc, where a path means another file to each "
                "process; name the socket itself"
            )
        # The kernel follows links and `..` as this does.
        real = os.path.realpath(path)
        if any(_is_one_file(real, own) for own in self._sockets):
            raise _is_ours(host)
        is_listed = self._patterns is not None and any(
            _matches(_real_pattern(pattern), f"unix://{real}") for pattern in self._patterns
        )
        if not is_listed and self._is_in_state_folder(real):
            raise BadRequest(
                f"host: {host!r} is in the service's state folder; have the node listen elsewhere, "
                f"or have it added to {SETTING} in the service's settings"
            )
        self._require(host, is_listed)

    def _check_place(self, host: str, place: HostPort) -> None:
        if place.port in self._ports:
            try:
                is_ours = leads_here(place.host, place.port)
            except OSError as error:
                reason = error.strerror or error
                raise BadRequest(f"host: {place.host} cannot be looked up: {reason}") from None
            if is_ours:
                raise _is_ours(host)
        plain = f"tcp://{HostPort(_plain(place.host), place.port)}"
        self._require(host, any(_matches(each.lower(), plain) for each in self._patterns or ()))

    def _require(self, host: str, is_listed: bool) -> None:
        if self._patterns is not None and not is_listed:
            raise BadRequest(
                f"host: {host!r} is not an allowed host of a run; have it added to {SETTING} "
                "in the service's settings"
            )

    def _is_in_state_folder(self, real: str) -> bool:
        """Return whether a path is in the state folder, which may be mounted at several places.

        The local node's socket does not count: it is there when /tmp cannot be written.
        """
        path = Path(real)
        if path.name == NODE_SOCKET and path.parent.name.startswith(NODE_FOLDER):
            place = str(path.parent.parent)
            if _is_one_file(place, str(temporary_files(self._state_folder))):
                return False
        return any(_is_one_file(str(each), str(self._state_folder)) for each in path.parents)


def install_run_hosts(app: Flask, rules: RunHosts) -> None:
    """Make `require_run_host` apply the `rules` in `app`."""
    app.extensions[_EXTENSION] = rules


def require_run_host(host: str) -> None:
    """Raise `BadRequest` unless a run's host may have this address (`RunHosts.check`)."""
    rules = current_app.extensions[_EXTENSION]
    assert isinstance(rules, RunHosts)
    rules.check(host)


def _is_ours(host: str) -> BadRequest:
    return BadRequest(f"host: {host!r} is this service itself; name the host loop of the node")


def _leads_through_proc(path: str) -> bool:
    """Return whether the kernel would cross a /proc file system on its way to `path`."""
    # `/proc/self/cwd` is another folder to the executor, and looks like a plain link to it here.
    ahead = path.split("/")[::-1]
    place = "/"
    links = 0
    while ahead:
        name = ahead.pop()
        place = os.path.normpath(os.path.join(place, name))
        if place.startswith("/proc/") or _device(place) == _device("/proc"):
            return True
        if os.path.islink(place) and links < _MOST_LINKS:
            links += 1
            target = os.readlink(place)
            place = "/" if target.startswith("/") else os.path.dirname(place)
            ahead += target.split("/")[::-1]
    return False


def _device(path: str) -> int | None:
    with suppress(OSError):
        return os.lstat(path).st_dev
    return None


def _is_one_file(first: str, second: str) -> bool:
    if first == os.path.realpath(second):
        return True
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False


def _real_pattern(pattern: str) -> str:
    """Return a path's pattern with symbolic links resolved in the folders before its first `*`."""
    path = pattern.removeprefix("unix://")
    known, star, rest = path.partition("*")
    folder, slash, name = known.rpartition("/")
    return f"unix://{os.path.realpath(folder or '/').rstrip('/')}{slash}{name}{star}{rest}"


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text, re.DOTALL) is not None


def _plain(host: str) -> str:
    """Return a host in its canonical form: lower case, no final dot, an address shortened."""
    with suppress(ValueError):
        address = ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return str(mapped or address)
    return host.lower().removesuffix(".")
