"""The options of the commands that run contracts."""

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

EXIT_CODES_HELP = """
\b
Exit codes:
  0   the contract returned
  1   it ended with a user error
  2   it ended with a VM error (a trap, an exit code, out of memory or time)
  3   internal error: the executor, the service or the local node failed
  64  wrong usage: an option, an argument, a file or a balance
  130 interrupted (143 by SIGTERM, 129 by SIGHUP)

Only after code 0 something has changed. Messages to other contracts run afterwards and do not
change the code; --json lists how each ended.

\b
Arguments are JSON. For values that JSON does not have:
  {"$address": "0x…"}   an address (a plain "0x…" stays a string)
  {"$bytes": "0x…"}     bytes, in hex or base64
  {"$int": "0x…"}       an int in hex; results use it from 4,000 digits on
  {"$map": {…}}         a map whose only key is one of these four

Ints may have any size; there are no floats. Results are printed in the same form.
"""

F = TypeVar("F", bound=Callable[..., Any])


class JsonType(click.ParamType[Any]):
    """Calldata as JSON, whose outermost value is a list or a map."""

    def __init__(self, kind: type, name: str) -> None:
        self._kind = kind
        self.name = name

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Parse the JSON text."""
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
    """An address in hex."""

    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> Address:
        """Parse the address."""
        try:
            return Address(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@dataclass(frozen=True)
class ContractOptions(ServiceOptions):
    """The options that `run` and `call` share.

    The local node is kept in the state folder, and its contracts run on a service of this machine:
    on a private one if none is known.
    """

    args: list[Any]
    kwargs: dict[str, Any]
    sender: Address
    value: int
    deadline: str

    def calldata(self, method: str | None = None) -> bytes:
        """Return the calldata of a call; empty parts are omitted."""
        call = {"method": method, "args": self.args, "kwargs": self.kwargs}
        return calldata.encode({name: part for name, part in call.items() if part})


_OPTIONS = (
    click.option(
        "--args", type=JsonType(list, "list"), default="[]", help="Positional arguments, JSON list."
    ),
    click.option(
        "--kwargs", type=JsonType(dict, "map"), default="{}", help="Keyword arguments, JSON map."
    ),
    click.option(
        "--sender",
        type=AddressType(),
        default=DEFAULT_SENDER.as_hex,
        show_default=True,
        help="The caller. The default account has a balance; any address may call without value.",
    ),
    click.option(
        "--value",
        type=NumberType(0, MAX_VALUE),
        default=0,
        help="The amount that the sender transfers, in the smallest unit (10^18 are one GEN).",
    ),
    click.option(
        "--deadline",
        type=DurationType(),
        default="1m",
        show_default=True,
        help="The longest time for each run: 500ms, 30s, 5m.",
    ),
)


def contract_options(command: F) -> F:
    """Add the options of `ContractOptions` to a click command."""
    command = service_options(
        "The local node is kept here, and a service that runs on this folder is used.",
        "a private one for this command",
    )(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
