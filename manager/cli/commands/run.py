"""`genvm-manager run`: deploy a contract on the local node."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from genvm_manager.manager.cli.exit_codes import Command
from genvm_manager.manager.cli.node_session import carry_out
from genvm_manager.manager.cli.options.contract import (
    ENDING_HELP,
    ContractOptions,
    contract_options,
)
from genvm_manager.manager.cli.options.parameters import ContractType
from genvm_manager.manager.local_node.transactions import Transaction


@click.command("run", cls=Command, epilog=ENDING_HELP)
@click.argument("contract", type=ContractType())
@contract_options
def command(contract: bytes, **given: Any) -> NoReturn:
    """Deploy CONTRACT, a file, on the local node.

    Runs its constructor and prints the contract's address, what went in and what came out: the
    storage it wrote, the messages and events it emitted, its output, the time it took. The local
    node is one file in the state folder: the contract stays there for `genvm-manager call`.

    \b
    Examples:
      genvm-manager run storage.py --args '["hello"]'
      genvm-manager run token.py --args '[9, {"$address": "0x10…01"}]' --value 5
      address=$(genvm-manager run storage.py --json | jq -r .contract)
    """
    options = ContractOptions(**given)
    transaction = Transaction(
        sender=options.sender,
        origin=options.sender,
        target=None,
        calldata=options.calldata(),
        value=options.value,
        code=contract,
    )
    carry_out(options, lambda node: node.submit(transaction))
