"""Archives of runners and of contracts, for tests."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any


def tar(
    files: Mapping[str, bytes],
    how: int = tarfile.USTAR_FORMAT,
    extended: Mapping[str, str] | None = None,
    folders: Sequence[str] = (),
) -> bytes:
    """Return a tar of `files` by path; `extended`: records of pax for each of them."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=how) as archive:
        for name in folders:
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.pax_headers = dict(extended or {})
            if name.endswith("/"):
                entry.type = tarfile.DIRTYPE
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a ZIP of stored entries."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()


def described(description: Any, files: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """Return the files of an archive with this runner description."""
    return {"runner.json": json.dumps(description).encode(), **(files or {})}
