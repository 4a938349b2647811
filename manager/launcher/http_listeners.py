"""The sockets that HTTP accepts connections on. `serve` holds them, so that they outlive HTTP."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from genvm_manager.base.files.identity import inode
from genvm_manager.base.network.listeners import listen_tcp, listen_unix, split_address, url_of

from .service_settings import ServiceSettings


class UnixListener:
    """A listening socket at a path, made again when somebody has removed or replaced it."""

    def __init__(self, path: Path) -> None:
        """Listen. Raises `AddressError`."""
        self.path = path
        self.socket = listen_unix(path)
        self._inode = inode(path)

    def is_in_place(self) -> bool:
        """Return whether a client that connects to the path reaches this socket."""
        return inode(self.path) == self._inode

    def listen_again(self) -> None:
        """Listen anew by the same descriptor, which a later HTTP inherits. Raises `AddressError`.

        Connections that were accepted stay open.
        """
        renewed = listen_unix(self.path)
        os.dup2(renewed.fileno(), self.socket.fileno(), inheritable=False)
        renewed.close()
        self._inode = inode(self.path)

    def close(self) -> None:
        """Stop listening and remove the path, unless it is another socket's by now."""
        if self.is_in_place():
            self.path.unlink(missing_ok=True)
        self.socket.close()


class HttpListeners:
    """All sockets of one service: one for each address of its host, and the Unix socket."""

    def __init__(self) -> None:
        """Hold nothing yet; see `open`."""
        self.urls: list[str] = []
        self.unix: UnixListener | None = None
        self.descriptors: list[int] = []
        self._open = ExitStack()

    def open(self, settings: ServiceSettings, bind_address: str) -> None:
        """Listen where the settings say, else at `bind_address`. Raises `AddressError`."""
        if settings.socket is None or settings.host is not None or settings.port is not None:
            host, port = split_address(bind_address)
            wanted = port if settings.port is None else settings.port
            for listener in listen_tcp(settings.host or host, wanted):
                self._open.enter_context(listener)
                self.urls.append(url_of(listener))
                self.descriptors.append(listener.fileno())
        if settings.socket is not None:
            self.unix = UnixListener(settings.socket)
            self._open.callback(self.unix.close)
            self.descriptors.append(self.unix.socket.fileno())

    @property
    def binds(self) -> list[str]:
        """The addresses as gunicorn is told them."""
        return [f"fd://{descriptor}" for descriptor in self.descriptors]

    def close(self) -> None:
        """Stop listening."""
        self._open.close()
