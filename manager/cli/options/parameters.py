"""Types of arguments and options that several commands have."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import click

from genvm_manager.base.network.host_port import MAX_PORT, is_host
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.base.text.timestamps import parse_rfc3339
from genvm_manager.protocol.contract.code import MAX_CODE, header_fault

F = TypeVar("F", bound=Callable[..., Any])

_DIGITS = re.compile(r"[0-9]{1,80}")

MAX_VALUE = (1 << 256) - 1


class UrlType(click.ParamType[Any]):
    """The URL of a service."""

    name = "url"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Check the URL."""
        if not _is_url(value):
            self.fail(f"expected http://HOST:PORT or unix:PATH, got {value!r}", param, ctx)
        return str(value)


def _is_url(text: str) -> bool:
    if not text.isprintable():
        return False
    try:
        parts = urlsplit(text)
        is_plain = parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    return parts.scheme in ("http", "https") and is_plain and is_host(parts.hostname or "")


class NumberType(click.IntRange):
    """A whole number in decimal digits only: click's own also accepts `1_000`, ` 12 ` and `+5`."""

    def __init__(self, least: int, most: int) -> None:
        super().__init__(least, most)

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Parse the number."""
        if isinstance(value, str) and not _DIGITS.fullmatch(value):
            self.fail(f"expected a number in decimal digits, got {value[:40]!r}", param, ctx)
        number: int = super().convert(value, param, ctx)
        return number


class DurationType(click.ParamType[Any]):
    """A duration, such as `30s`, which stays text."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Check the duration."""
        try:
            parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class PortType(NumberType):
    """A port to listen on; 0 means any free one."""

    def __init__(self) -> None:
        super().__init__(0, MAX_PORT)


class ContractFile(NamedTuple):
    """A contract's code, and the name of its file; None for stdin."""

    name: str | None
    code: bytes


class ContractType(click.Path):
    """A file with a contract's code, or - for stdin; the value is a `ContractFile`."""

    name = "file"

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, allow_dash=True, path_type=Path)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Read the file; warn if the service cannot find the contract's header."""
        if isinstance(value, ContractFile):
            return value
        path: Any = super().convert(value, param, ctx)
        try:
            with click.open_file(str(path), "rb") as file:
                code = file.read(MAX_CODE + 1)
        except OSError as error:
            self.fail(f"{path}: {error.strerror}", param, ctx)
        if len(code) > MAX_CODE:
            self.fail(f"{path}: a contract has at most {MAX_CODE} bytes", param, ctx)
        if fault := header_fault(code):
            click.echo(f"Note: {path}: {fault}", err=True)
        return ContractFile(None if str(path) == "-" else path.name, code)


class TimeType(click.ParamType[datetime]):
    """A time in RFC 3339."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        """Parse the time."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_rfc3339(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def deployment_time(command: F) -> F:
    """Add the option `at`, an aware time, to a command."""
    return click.option(
        "--at",
        type=TimeType(),
        default=lambda: datetime.now(UTC),
        help="The time of the deployment, such as 2026-01-31T12:00:00Z.  [default: now]",
    )(command)
