"""The file with the bearer token: the secret itself is never in a command line, log or note."""

from __future__ import annotations

import codecs
import grp
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

MIN_TOKEN = 16
MAX_TOKEN = 1024
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_RECIPE = "make one with: (umask 077; head -c 32 /dev/urandom | base64 > {path})"


class TokenFileError(Exception):
    """The token cannot be used; the message names the file and the next step."""


def read_token(path: Path) -> str:
    """Return the token in a file that only its owner may read; root may let a group read its own.

    Raises `TokenFileError`.
    """
    try:
        # Not to wait for the writer of a pipe.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(MAX_TOKEN + len(codecs.BOM_UTF8) + 2)
    except OSError as error:
        raise TokenFileError(f"token file {path}: {error.strerror}{_who_may(path)}") from None
    if not stat.S_ISREG(status.st_mode):
        raise TokenFileError(f"token file {path}: expected a regular file")
    if is_open_to_others(status):
        raise TokenFileError(
            f"token file {path}: others may read it; keep it to yourself: chmod 600 {path}"
        )
    token = content.removeprefix(codecs.BOM_UTF8).decode("latin-1").strip()
    if not (MIN_TOKEN <= len(token) <= MAX_TOKEN and _TOKEN.fullmatch(token)):
        raise TokenFileError(
            f"token file {path}: expected one line of {MIN_TOKEN} to {MAX_TOKEN} letters, digits "
            f"and ._~+/=-; {_RECIPE.format(path=path)}"
        )
    return token


def is_open_to_others(status: os.stat_result) -> bool:
    """Return whether a file with a secret can be read or changed by users that it is not for."""
    return bool(status.st_mode & (0o037 if status.st_uid == 0 else 0o077))


def _who_may(path: Path) -> str:
    """Return a hint for a user who may not read the file: which group may, if one may."""
    with suppress(OSError, KeyError):
        status = path.stat()
        if status.st_mode & stat.S_IRGRP and not os.access(path, os.R_OK):
            return f"; root and members of the group {grp.getgrgid(status.st_gid).gr_name} may"
    return ""
