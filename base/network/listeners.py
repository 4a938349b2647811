"""Where the service listens: taken by the service itself, so that a conflict has a clear message.

The listening socket outlives a restart of the HTTP processes: clients wait and are not refused.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

from genvm_manager.base.files.state_folder import MAX_SOCKET_PATH

from .host_port import HostPort, is_host, parse_host_port
from .listening import CannotListen, Place, listen_at_each, places_of

BACKLOG = 2048


class AddressError(Exception):
    """An address that cannot be listened on; the message says why, and what to do."""


def split_address(text: str, setting: str = "bind_address") -> HostPort:
    """Return host and port of `HOST:PORT`, an IPv6 host in brackets.

    Raises `AddressError`, which names the `setting` that the text is of.
    """
    try:
        return parse_host_port(text)
    except ValueError as error:
        raise AddressError(f"{setting}: {error}") from None


def listen_tcp(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets at all addresses that `host` has on this machine, on one port; 0
    takes a free one. Raises `AddressError`.
    """
    places = _places(host, port)
    families = {family for family, _ in places}
    # Alone, `::` is for IPv4 as well where the kernel is set so.
    is_apart = len(families) > 1

    def listening(place: Place) -> socket.socket:
        family, address = place
        with ExitStack() as undo:
            listener = undo.enter_context(socket.socket(family))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_apart and family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            undo.pop_all()
        return listener

    try:
        return listen_at_each(places, listening)
    except CannotListen as refusal:
        where = host if refusal.place == host else f"{host} ({refusal.place})"
        if refusal.error.errno == errno.EADDRINUSE:
            reason = "is in use; stop what listens there, or choose another with --port"
        else:
            reason = f"cannot be listened on: {refusal.error.strerror}"
        raise AddressError(f"port {port} on {where} {reason}") from None


def gunicorn_binds(bind: str) -> list[str]:
    """Return what gunicorn has to bind for `bind`: for a host's name every `ADDRESS:PORT` of this
    machine that it stands for, on one port; all else as it is. Raises `AddressError`.
    """
    if bind.startswith(("unix:", "fd://")):
        return [bind]
    host, port = split_address(bind, "--bind")
    if _is_address(host):
        return [bind]
    with ExitStack() as closing:
        # On a free port: gunicorn itself waits for the wanted one, which old workers may have.
        probes = [closing.enter_context(probe) for probe in listen_tcp(host, 0)]
        names = [probe.getsockname()[:2] for probe in probes]
    return [f"{_in_url(address)}:{port or free}" for address, free in names]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _places(host: str, port: int) -> list[Place]:
    if not is_host(host):
        raise AddressError(f"host {host[:60]!r}: expected a name or an IP address, without port")
    try:
        return places_of(
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        )
    except OSError as error:
        raise AddressError(f"host {host}: {error.strerror}") from None


def url_of(listener: socket.socket) -> str:
    """Return the `http://` URL at which this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://{_in_url(reachable)}:{port}"


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def listen_unix(path: Path) -> socket.socket:
    """Return a listening socket at `path`, for this user only. Raises `AddressError`.

    One that was left over there is replaced.
    """
    _check_unix_path(path)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    umask = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise AddressError(f"socket {path}: {error.strerror}") from None
    finally:
        os.umask(umask)
    return listener


def _check_unix_path(path: Path) -> None:
    """Raise `AddressError` unless a socket can be made there."""
    if len(bytes(path)) > MAX_SOCKET_PATH:
        raise AddressError(f"socket {path}: its path is longer than {MAX_SOCKET_PATH} bytes")
    if not path.parent.is_dir():
        raise AddressError(f"socket {path}: there is no folder {path.parent}")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise AddressError(f"socket {path}: a file that is no socket is in the way")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError as error:
            raise AddressError(f"socket {path}: {error.strerror}") from None
    raise AddressError(f"socket {path} is in use; choose another with --socket")
