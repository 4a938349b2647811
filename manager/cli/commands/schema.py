"""The command `genvm-manager schema`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click
import msgspec
from msgspec import Struct

from genvm_manager.base.errors import RequestFailed
from genvm_manager.base.text.printable import printable, printable_json, printable_lines
from genvm_manager.manager.cli.exit_codes import Command, exit_codes
from genvm_manager.manager.cli.options.parameters import ContractFile, ContractType, deployment_time
from genvm_manager.manager.cli.options.service import ServiceOptions, service_options
from genvm_manager.manager.cli.rendering.progress import Progress
from genvm_manager.manager.cli.service_connection import connected
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.manager.local_node.file_names import with_file_name

_EXIT_CODES = exit_codes(
    {0: "done", 1: "the contract failed, exceeded its deadline, or has no schema"}
)


class Signature(Struct, frozen=True):
    """Positional and keyword parameters with their types (docs/spec/06-contracts.md#schema)."""

    params: list[tuple[str, Any]] = []
    kwparams: dict[str, Any] = {}


class Method(Signature, frozen=True):
    """A public method."""

    readonly: bool = False
    payable: bool = False
    ret: Any = "any"


class Schema(Struct, frozen=True):
    """The constructor and the public methods of a contract."""

    ctor: Signature
    methods: dict[str, Method]


@click.command("schema", cls=Command, epilog=_EXIT_CODES)
@click.argument("contract", metavar="FILE", type=ContractType())
@deployment_time
@service_options()
def command(contract: ContractFile, at: datetime, **given: Any) -> None:
    """Show the methods of the contract in FILE (- is stdin).

    The contract is run for it, with the permission to read only. --json prints the schema as the
    contract returns it.
    """
    options = ServiceOptions(**given)
    with connected(options) as client, Progress("running the contract"):
        schema = _schema(client, contract, at)
    click.echo(printable_json(schema) if options.as_json else "\n".join(lines_of(schema)))


def _schema(client: HttpClient, contract: ContractFile, at: datetime) -> str:
    try:
        return client.contract_schema(contract.code, at)
    except RequestFailed as error:
        raise RequestFailed(with_file_name(error.message, contract.name)) from None


def lines_of(schema: str) -> Iterator[str]:
    """Yield a line for each method; a schema of an unknown form is shown as JSON."""
    try:
        known = msgspec.json.decode(schema, type=Schema)
    except msgspec.ValidationError:
        yield printable_lines(json.dumps(json.loads(schema), ensure_ascii=False, indent=2))
        return
    yield _line("deploy", "__init__", known.ctor)
    for name, method in known.methods.items():
        kind = "view" if method.readonly else "payable" if method.payable else "write"
        yield f"{_line(kind, name, method)} -> {printable(_type(method.ret))}"


def _line(kind: str, name: str, signature: Signature) -> str:
    parts = [f"{each}: {_type(kind)}" for each, kind in signature.params]
    if signature.kwparams:
        parts += ["*", *(f"{each}: {_type(kind)}" for each, kind in signature.kwparams.items())]
    called = click.style(printable(name), bold=True)
    return f"{click.style(kind.ljust(8), dim=True)}{called}({printable(', '.join(parts))})"


def _type(kind: Any) -> str:
    """Return a type in Python's notation."""
    match kind:
        case str():
            return kind
        case [{"$rep": item}]:
            return f"list[{_type(item)}]"
        case list():
            return f"tuple[{', '.join(map(_type, kind))}]"
        case {"$dict": value}:
            return f"dict[string, {_type(value)}]"
        case {"$or": [*choices]}:
            return " | ".join(map(_type, choices))
        case dict():
            fields = (f"{name}: {_type(field)}" for name, field in kind.items())
            return "{" + ", ".join(fields) + "}"
    return json.dumps(kind)
