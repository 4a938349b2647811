"""`genvm-manager schema`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click
import msgspec
from msgspec import Struct

from genvm_manager.base.text.printable import printable, printable_json, printable_lines
from genvm_manager.manager.cli.exit_codes import Command, exit_codes
from genvm_manager.manager.cli.options.parameters import ContractType, deployment_time
from genvm_manager.manager.cli.options.service import ServiceOptions, asking, service_options
from genvm_manager.manager.cli.rendering.progress import Progress

_ENDING = exit_codes({0: "done", 1: "the contract failed instead, took too long, or has no schema"})


class Signature(Struct, frozen=True):
    """Parameters by position and by name, each with its type (docs/spec/06-contracts.md#schema)."""

    params: list[tuple[str, Any]] = []
    kwparams: dict[str, Any] = {}


class Method(Signature, frozen=True):
    readonly: bool = False
    payable: bool = False
    ret: Any = "any"


class Schema(Struct, frozen=True):
    ctor: Signature
    methods: dict[str, Method]


@click.command("schema", cls=Command, epilog=_ENDING)
@click.argument("code", metavar="FILE", type=ContractType())
@deployment_time
@service_options()
def command(code: bytes, at: datetime, **given: Any) -> None:
    """Show which methods the contract in FILE has (- is stdin).

    The contract is run for it, with no permission but to read. --json prints the schema as the
    contract tells it.
    """
    options = ServiceOptions(**given)
    with asking(options) as client, Progress("asking the contract"):
        schema = client.contract_schema(code, at)
    click.echo(printable_json(schema) if options.as_json else "\n".join(lines_of(schema)))


def lines_of(schema: str) -> Iterator[str]:
    """A line for each method; one of a form that we do not know is shown as it is."""
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
    """A type as Python writes it."""
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
