"""The options of the commands that run contracts, and how their text is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from manager.local_node.json_form import BadJson, parse
from manager.local_node.ledger import DEFAULT_SENDER
from protocol import calldata
from protocol.calldata import Address
from protocol.durations import parse_duration
from protocol.state_folder import default_state_folder

MISUSE = 64
"""Exit code for a command that cannot be carried out as it was typed (BSD's EX_USAGE)."""

ENDING_HELP = """
\b
Exit codes:
  0   the contract returned
  1   it ended with a user error
  2   it ended with a VM error (a trap, an exit code, out of memory or time)
  3   internal: the executor, the service or the local node failed
  64  the command is at fault: an option, the arguments, a file, an address, a balance
  130 interrupted (143 by SIGTERM)

After any code but 0 nothing has changed. Messages to other contracts run afterwards and do not
alter the code; --json lists how each ended.

\b
Arguments are JSON. What JSON has no word for:
  {"$address": "0x…"}   an address (a plain "0x…" stays a string)
  {"$bytes": "0x…"}     bytes, in hex or base64
  {"$int": "0x…"}       an int in hex; results use it from 4,000 digits on
  {"$map": {…}}         a map whose only key is one of these four

Ints may have any size; there are no floats. Results are printed in the same form.
"""

F = TypeVar("F", bound=Callable[..., Any])


class Misuse(click.UsageError):
    """The command cannot be carried out as it was typed; the message says what to change."""

    exit_code = MISUSE


class ContractCommand(click.Command):
    """A command whose misuse ends with 64, as 2 means a VM error here."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise Misuse(error.format_message(), error.ctx) from None


class JsonType(click.ParamType[Any]):
    """A JSON text of calldata whose outermost value is a list or a map."""

    def __init__(self, kind: type, name: str) -> None:
        self._kind = kind
        self.name = name

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, self._kind):
            return value
        try:
            parsed = parse(value)
            calldata.encode(parsed)
        except (BadJson, calldata.EncodeError) as error:
            self.fail(str(error), param, ctx)
        if not isinstance(parsed, self._kind):
            self.fail(f"expected a JSON {self.name}, got {value[:40]}", param, ctx)
        return parsed


class AddressType(click.ParamType[Any]):
    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> Address:
        try:
            return Address(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class UrlType(click.ParamType[Any]):
    name = "url"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        try:
            parts = urlsplit(value)
            is_whole = parts.scheme == "unix" or bool(parts.hostname and parts.port != 0)
        except ValueError:
            is_whole = False
        if not is_whole or parts.scheme not in ("http", "https", "unix"):
            self.fail(f"expected http://HOST:PORT or unix:PATH, got {value!r}", param, ctx)
        return str(value)


class DurationType(click.ParamType[Any]):
    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        try:
            parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


@dataclass(frozen=True)
class ContractOptions:
    """The options that `run` and `call` share."""

    args: list[Any]
    kwargs: dict[str, Any]
    sender: Address
    value: int
    deadline: str
    state_dir: Path
    url: str | None
    token_file: Path | None
    as_json: bool

    def calldata(self, method: str | None = None) -> bytes:
        """The calldata of a call; parts that are empty are left out."""
        call = {"method": method, "args": self.args, "kwargs": self.kwargs}
        return calldata.encode({name: part for name, part in call.items() if part})


_OPTIONS = (
    click.option(
        "--args", type=JsonType(list, "list"), default="[]", help="Positional, a JSON list."
    ),
    click.option("--kwargs", type=JsonType(dict, "map"), default="{}", help="By name, a JSON map."),
    click.option(
        "--sender",
        type=AddressType(),
        default=DEFAULT_SENDER.as_hex,
        show_default=True,
        help="Who calls. The default account has a balance; any address may call without value.",
    ),
    click.option(
        "--value",
        type=click.IntRange(min=0),
        default=0,
        help="What the sender pays, in the smallest unit (10^18 make one GEN).",
    ),
    click.option(
        "--deadline",
        type=DurationType(),
        default="1m",
        show_default=True,
        help="How long each run may take: 500ms, 30s, 5m.",
    ),
    click.option(
        "--state-dir",
        type=click.Path(file_okay=False, path_type=Path, resolve_path=True),
        default=lambda: default_state_folder(os.environ),
        show_default="$XDG_STATE_HOME/genvm-manager",
        help="Where the local node keeps its contracts, and where a service is looked for.",
    ),
    click.option(
        "--url",
        type=UrlType(),
        help="The service to use, on this machine. Default: the one that runs on --state-dir, "
        "else a private one for the time of the command.",
    ),
    click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="The service's token file. Default: the one that the service on --state-dir uses.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
)


def contract_options(command: F) -> F:
    """Give a click command the options of `ContractOptions`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
