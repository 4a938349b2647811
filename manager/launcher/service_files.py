"""What `serve` keeps in place while it runs: its note, and the Unix socket that HTTP listens on."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from genvm_manager.base.files.identity import inode
from genvm_manager.base.network.listeners import AddressError, listen_unix

from .service_file import ServiceNote, ensure_note

PERIOD = 0.5
"""Seconds between two looks."""


class UnixListener:
    """HTTP's socket at a path, made again when somebody has removed or replaced it."""

    def __init__(self, path: Path) -> None:
        """Listen. Raises `AddressError`."""
        self.path = path
        self.socket = listen_unix(path)
        self._inode = inode(path)

    def is_in_place(self) -> bool:
        """Return whether clients that come find it."""
        return inode(self.path) == self._inode

    def listen_again(self) -> None:
        """Listen anew by the same descriptor, which a later HTTP inherits. Raises `AddressError`.

        Whoever is connected already stays so.
        """
        renewed = listen_unix(self.path)
        os.dup2(renewed.fileno(), self.socket.fileno(), inheritable=False)
        renewed.close()
        self._inode = inode(self.path)

    def close(self) -> None:
        """Listen no more, and leave nothing behind."""
        if self.is_in_place():
            self.path.unlink(missing_ok=True)
        self.socket.close()


class ServiceFiles:
    """Looks after the note and the socket."""

    def __init__(
        self,
        folder: Path,
        report: Callable[[str], None],
        renewed: Callable[[socket.socket], None],
    ) -> None:
        """`report` is called with what is worth a line, `renewed` with a socket made again."""
        self._folder = folder
        self._report = report
        self._renewed = renewed
        self.note: ServiceNote | None = None
        self.listener: UnixListener | None = None
        self._said: str | None = None

    def ensure(self) -> str | None:
        """Make again what is gone; return why clients or commands do not find the service."""
        fault = self._ensure_socket() or self._ensure_note()
        if fault is not None and fault != self._said:
            self._report(fault)
        self._said = fault
        return fault

    def _ensure_note(self) -> str | None:
        if self.note is None:
            return None
        try:
            if ensure_note(self._folder, self.note):
                self._report("service.json was removed or replaced; it is written again")
        except OSError as error:
            return f"service.json in {self._folder} cannot be written again: {error.strerror}"
        except ValueError as error:
            return str(error)
        return None

    def _ensure_socket(self) -> str | None:
        listener = self.listener
        if listener is None or listener.is_in_place():
            return None
        try:
            listener.listen_again()
        except AddressError as error:
            return f"{error}; it was removed or replaced, and cannot be made again"
        self._renewed(listener.socket)
        self._report(f"the socket {listener.path} was removed or replaced; it is made again")
        return None
