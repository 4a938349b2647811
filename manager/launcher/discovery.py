"""What commands and clients find a service by: its service file and HTTP's Unix socket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from genvm_manager.base.network.listeners import AddressError

from .http_listeners import UnixListener
from .service_file import ServiceFile, ensure_service_file

PERIOD = 0.5
"""Seconds between two checks."""


class Discovery:
    """Keeps the service file and the socket in place while the service runs."""

    def __init__(
        self,
        folder: Path,
        report: Callable[[str], None],
        renewed: Callable[[socket.socket], None],
    ) -> None:
        """Keep nothing yet. `report` gets each event worth a line, `renewed` each socket that had
        to be made again.
        """
        self._folder = folder
        self._report = report
        self._renewed = renewed
        self.file: ServiceFile | None = None
        self.listener: UnixListener | None = None
        self._reported: str | None = None

    def ensure(self) -> str | None:
        """Make again what is gone; return why commands or clients cannot find the service."""
        fault = self._ensure_socket() or self._ensure_file()
        if fault is not None and fault != self._reported:
            self._report(fault)
        self._reported = fault
        return fault

    def _ensure_file(self) -> str | None:
        if self.file is None:
            return None
        try:
            if ensure_service_file(self._folder, self.file):
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
