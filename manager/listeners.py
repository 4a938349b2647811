"""Where the service listens: taken by the service itself, so that a conflict has a clear message.

The listening socket outlives a restart of the HTTP processes: clients wait and are not refused.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from protocol.host_port import HostPort, is_host, parse_host_port
from protocol.state_folder import MAX_SOCKET_PATH

BACKLOG = 2048


class AddressError(Exception):
    """An address that cannot be listened on; the message says why, and what to do."""


def split_address(text: str) -> HostPort:
    """Host and port of `HOST:PORT`, an IPv6 host in brackets. Raises `AddressError`."""
    try:
        return parse_host_port(text)
    except ValueError as error:
        raise AddressError(f"bind_address: {error}") from None


def listen_tcp(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `AddressError`."""
    if not is_host(host):
        raise AddressError(f"host {host[:60]!r}: expected a name or an IP address, without port")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise AddressError(f"host {host}: {error.strerror}") from None
    family, kind, _, _, address = found[0]
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            reason = "is in use; stop what listens there, or choose another with --port"
        else:
            reason = f"cannot be listened on: {error.strerror}"
        raise AddressError(f"port {port} on {host} {reason}") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The `http://` URL at which this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def listen_unix(path: Path) -> socket.socket:
    """A listening socket at `path`, for this user only. Raises `AddressError`.

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
