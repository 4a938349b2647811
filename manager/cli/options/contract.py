"""The options of the commands that run contracts, and how their text is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from genvm_manager.manager.local_node.json_form import BadJson, parse
from genvm_manager.manager.local_node.ledger import DEFAULT_SENDER
from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address

from .parameters import MAX_VALUE, DurationType, NumberType
from .service import ServiceOptions, service_options

ENDING_HELP = """
\b
Exit codes:
  0   the contract returned
  1   it ended with a user error
  2   it ended with a VM error (a trap, an exit code, out of memory or time)
  3   internal: the executor, the service or the local node failed
  64  the command is at fault: an option, an argument, a file, a balance
  130 interrupted (143 by SIGTERM, 129 by SIGHUP)

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


@dataclass(frozen=True)
class ContractOptions(ServiceOptions):
    """The options that `run` and `call` share. The local node lies in the state folder, and its
    contracts run on a service of this machine: a private one where none is known."""

    args: list[Any]
    kwargs: dict[str, Any]
    sender: Address
    value: int
    deadline: str

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
        type=NumberType(0, MAX_VALUE),
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
)


def contract_options(command: F) -> F:
    """Give a click command the options of `ContractOptions`."""
    command = service_options(
        "Where the local node keeps its contracts, and where a service is looked for.",
        "a private one for the time of the command",
    )(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
