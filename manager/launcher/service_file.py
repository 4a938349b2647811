"""The note by which a service that runs on a state folder can be found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from genvm_manager.base.files.state_folder import service_note
from genvm_manager.base.process.identity import boot_id, contents, lives, pid_namespace, start_ticks
from genvm_manager.base.validation import NOT_DECODED

_MOST = 64 << 10
"""Bytes of a note that are read."""

UNREADABLE = "it was written by another version of genvm-manager, or it is damaged"


class ServiceNote(msgspec.Struct, frozen=True):
    """`url` is None when only the Unix socket at `socket` is listened on; `more_urls` are those of
    the further addresses that the host's name has. `pid`, `start_ticks` and
    `boot_id` name the process for ever, whatever becomes of the clock, in the `pid_namespace` that
    has this inode (0: not known). The token in the file
    `token_file`, if any, is what requests need. `state_folder` is where the note was left: in a
    copy of that folder it means nothing."""

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
    ) -> ServiceNote:
        """Return the note of this process, which serves at these addresses."""
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
        """Return why the note, found in `folder`, names no service that runs on it; else None."""
        if not _is_same(self.state_folder, folder):
            return f"it was written in {self.state_folder}, of which this folder is a copy"
        if self.boot_id == boot_id() and self._is_elsewhere():
            return (
                f"the service with pid {self.pid} is in another PID namespace, as a container has "
                "one, or has ended"
            )
        if self.boot_id != boot_id() or not lives(self.pid, self.start_ticks):
            return f"the service with pid {self.pid} has ended"
        return None

    def _is_elsewhere(self) -> bool:
        here = pid_namespace()
        return bool(here and self.pid_namespace) and here != self.pid_namespace


def write_note(state_folder: Path, note: ServiceNote) -> None:
    """Leave the note in the state folder. Raises `OSError`."""
    path = service_note(state_folder)
    draft = path.with_suffix(f".{note.pid}")
    draft.write_bytes(msgspec.json.encode(note))
    draft.replace(path)


def ensure_note(state_folder: Path, note: ServiceNote) -> bool:
    """Write the note of this process again unless it is there; return whether it was not.

    Raises `OSError`, and `ValueError` when another service runs on what is the folder now.
    """
    if (found := _read(state_folder)) == note:
        return False
    if found is not None and found.pid != note.pid and found.fault(state_folder) is None:
        raise ValueError(
            f"{state_folder} is the folder of another service now, that of pid {found.pid}"
        )
    write_note(state_folder, note)
    return True


def remove_note(state_folder: Path) -> None:
    """Take the note of this process back."""
    note = _read(state_folder)
    if note is not None and note.pid == os.getpid():
        service_note(state_folder).unlink(missing_ok=True)


def find_service(state_folder: Path) -> str | None:
    """Return the address of the service that runs on this state folder; None when none does."""
    note = find_note(state_folder)
    return None if note is None else note.address


def find_note(state_folder: Path) -> ServiceNote | None:
    """Return the note of the service that runs on this state folder; None when none does."""
    note = _read(state_folder)
    return None if note is None or note.fault(state_folder) else note


def note_fault(state_folder: Path) -> str | None:
    """Return why the note in the folder names no service; None when it does or there is none."""
    note = _read(state_folder)
    if note is not None:
        return note.fault(state_folder)
    return UNREADABLE if os.path.exists(service_note(state_folder)) else None


def _is_same(noted: str, folder: Path) -> bool:
    try:
        return os.path.samefile(noted, folder)
    except OSError:
        return False


def _read(state_folder: Path) -> ServiceNote | None:
    try:
        return msgspec.json.decode(
            contents(str(service_note(state_folder)), _MOST), type=ServiceNote
        )
    except NOT_DECODED:
        return None
