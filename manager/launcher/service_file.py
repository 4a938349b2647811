"""The service file, `service.json`, by which commands find the service on a state folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from genvm_manager.base.files.state_folder import service_file
from genvm_manager.base.process.identity import (
    ProcessIdentity,
    boot_id,
    contents,
    pid_namespace,
    start_ticks,
)
from genvm_manager.base.validation import NOT_DECODED

_MOST = 64 << 10
"""Bytes that are read of it."""

UNREADABLE = "it was written by another version of genvm-manager, or it is damaged"


class ServiceFile(msgspec.Struct, frozen=True):
    """Where a service listens, and which process it is.

    `url` is None when only the Unix socket at `socket` is listened on; `more_urls` are those of the
    further addresses that the host's name has. `pid`, `start_ticks` and `boot_id` identify the
    process whatever the clock does, in the PID namespace whose inode is `pid_namespace` (0: not
    known). Requests need the token in `token_file`, if that is given. `state_folder` is where the
    file was written: in a copy of that folder it names no service.
    """

    url: str | None
    socket: str | None
    pid: int
    start_ticks: int
    boot_id: str
    state_folder: str
    token_file: str | None = None
    more_urls: list[str] = []
    pid_namespace: int = 0

    @classmethod
    def of_this_process(
        cls,
        state_folder: Path,
        urls: Sequence[str],
        socket: Path | None,
        token_file: Path | None,
    ) -> ServiceFile:
        """Describe this process, which serves at these addresses."""
        pid = os.getpid()
        return cls(
            urls[0] if urls else None,
            str(socket) if socket else None,
            pid,
            start_ticks(pid) or 0,
            boot_id(),
            str(state_folder.absolute()),
            str(token_file) if token_file else None,
            list(urls[1:]),
            pid_namespace(),
        )

    @property
    def address(self) -> str:
        """What `HttpClient` takes."""
        return self.url or f"unix:{self.socket}"

    def fault(self, folder: Path) -> str | None:
        """Return why the file, found in `folder`, names no service that runs on it; else None."""
        if not _is_same(self.state_folder, folder):
            return f"it was written in {self.state_folder}, of which this folder is a copy"
        if self.boot_id == boot_id() and self._is_elsewhere():
            return (
                f"the service with pid {self.pid} is in another PID namespace, as a container has "
                "one, or has ended"
            )
        if self.boot_id != boot_id() or not ProcessIdentity(self.pid, self.start_ticks).is_alive():
            return f"the service with pid {self.pid} has ended"
        return None

    def _is_elsewhere(self) -> bool:
        here = pid_namespace()
        return bool(here and self.pid_namespace) and here != self.pid_namespace


def write_service_file(state_folder: Path, file: ServiceFile) -> None:
    """Write it to the state folder. Raises `OSError`."""
    path = service_file(state_folder)
    draft = path.with_suffix(f".{file.pid}")
    draft.write_bytes(msgspec.json.encode(file))
    draft.replace(path)


def ensure_service_file(state_folder: Path, file: ServiceFile) -> bool:
    """Write the file of this process again unless it is there; return whether it was not.

    Raises `OSError`, and `ValueError` when another service runs on what is the folder now.
    """
    if (found := _read(state_folder)) == file:
        return False
    if found is not None and found.pid != file.pid and found.fault(state_folder) is None:
        raise ValueError(
            f"{state_folder} is the folder of another service now, that of pid {found.pid}"
        )
    write_service_file(state_folder, file)
    return True


def remove_service_file(state_folder: Path) -> None:
    """Remove the file of this process."""
    file = _read(state_folder)
    if file is not None and file.pid == os.getpid():
        service_file(state_folder).unlink(missing_ok=True)


def find_service(state_folder: Path) -> str | None:
    """Return the address of the service that runs on this state folder; None when none does."""
    file = find_service_file(state_folder)
    return None if file is None else file.address


def find_service_file(state_folder: Path) -> ServiceFile | None:
    """Return the file of the service that runs on this state folder; None when none does."""
    file = _read(state_folder)
    return None if file is None or file.fault(state_folder) else file


def service_file_fault(state_folder: Path) -> str | None:
    """Return why the file in the folder names no service; None when it does or there is none."""
    file = _read(state_folder)
    if file is not None:
        return file.fault(state_folder)
    return UNREADABLE if os.path.exists(service_file(state_folder)) else None


def _is_same(recorded: str, folder: Path) -> bool:
    try:
        return os.path.samefile(recorded, folder)
    except OSError:
        return False


def _read(state_folder: Path) -> ServiceFile | None:
    try:
        return msgspec.json.decode(
            contents(str(service_file(state_folder)), _MOST), type=ServiceFile
        )
    except NOT_DECODED:
        return None
