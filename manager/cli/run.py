"""`genvm-manager run`: deploy a contract on the local node."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import click

from manager.local_node.transactions import Transaction

from .contract_options import (
    ENDING_HELP,
    ContractCommand,
    ContractOptions,
    Misuse,
    contract_options,
)
from .node_session import carry_out

MAX_CODE = 32 << 20
"""Bytes; more would not fit into one request with its arguments."""


@click.command("run", cls=ContractCommand, epilog=ENDING_HELP)
@click.argument("contract", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@contract_options
def command(contract: Path, **given: Any) -> NoReturn:
    """Deploy CONTRACT, a file, on the local node.

    Runs its constructor and prints the contract's address, what went in and what came out: the
    storage it wrote, the messages and events it emitted, its output, the time it took. The local
    node is one file in the state folder: the contract stays there for `genvm-manager call`.

    \b
    Examples:
      genvm-manager run storage.py --args '["hello"]'
      genvm-manager run token.py --args '[1000, {"$address": "0x10…01"}]' --value 5
      address=$(genvm-manager run storage.py --args '["a"]' --json | jq -r .contract)
    """
    options = ContractOptions(**given)
    transaction = Transaction(
        sender=options.sender,
        origin=options.sender,
        target=None,
        calldata=options.calldata(),
        value=options.value,
        code=_read(contract),
    )
    carry_out(options, lambda node: node.submit(transaction))


def _read(contract: Path) -> bytes:
    try:
        with contract.open("rb") as file:
            code = file.read(MAX_CODE + 1)
    except OSError as error:
        raise Misuse(f"{contract}: {error.strerror}") from None
    if len(code) > MAX_CODE:
        raise Misuse(f"{contract}: a contract has at most {MAX_CODE} bytes")
    return code
