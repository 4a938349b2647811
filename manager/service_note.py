"""The note by which a service that runs on a state folder can be found."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import psutil

from protocol.state_folder import service_note


class ServiceNote(msgspec.Struct, frozen=True):
    """`url` is None when only the Unix socket at `socket` is listened on. `created` is when the
    process `pid` was created, by which it is told from a later one of the same number. The token
    in the file `token_file`, if any, is what requests need. `state_folder` is where the note was
    left: in a copy of that folder it means nothing."""

    url: str | None
    socket: str | None
    pid: int
    created: float
    state_folder: str
    token_file: str | None = None

    @property
    def address(self) -> str:
        """What `HttpClient` takes."""
        return self.url or f"unix:{self.socket}"


def write_note(
    state_folder: Path, url: str | None, socket: Path | None, token_file: Path | None
) -> None:
    """Say that this process serves at these addresses, and where the token is that it wants."""
    own = psutil.Process()
    note = ServiceNote(
        url,
        str(socket) if socket else None,
        own.pid,
        own.create_time(),
        str(state_folder.absolute()),
        str(token_file) if token_file else None,
    )
    path = service_note(state_folder)
    draft = path.with_suffix(f".{own.pid}")
    draft.write_bytes(msgspec.json.encode(note))
    draft.replace(path)


def remove_note(state_folder: Path) -> None:
    """Take the note of this process back."""
    note = _read(state_folder)
    if note is not None and note.pid == os.getpid():
        service_note(state_folder).unlink(missing_ok=True)


def find_service(state_folder: Path) -> str | None:
    """The address of the service that runs on this state folder; None when none does."""
    note = find_note(state_folder)
    return None if note is None else note.address


def find_note(state_folder: Path) -> ServiceNote | None:
    """The note of the service that runs on this state folder; None when none does."""
    note = _read(state_folder)
    if note is None or not _is_same(note.state_folder, state_folder):
        return None
    try:
        process = psutil.Process(note.pid)
        is_it = process.create_time() == note.created
        return note if is_it and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def _is_same(noted: str, folder: Path) -> bool:
    try:
        return os.path.samefile(noted, folder)
    except OSError:
        return False


def _read(state_folder: Path) -> ServiceNote | None:
    try:
        return msgspec.json.decode(service_note(state_folder).read_bytes(), type=ServiceNote)
    except (OSError, msgspec.DecodeError):
        return None
