"""The command `genvm-manager run`, which deploys a contract on the local node."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from genvm_manager.manager.cli.exit_codes import Command
from genvm_manager.manager.cli.node_session import run_and_exit
from genvm_manager.manager.cli.options.contract import (
    EXIT_CODES_HELP,
    ContractOptions,
    contract_options,
)
from genvm_manager.manager.cli.options.parameters import ContractFile, ContractType
from genvm_manager.manager.local_node.transactions import Transaction


@click.command("run", cls=Command, epilog=EXIT_CODES_HELP)
@click.argument("contract", type=ContractType())
@contract_options
def command(contract: ContractFile, **given: Any) -> NoReturn:
    """Deploy CONTRACT, a file, on the local node.

    Runs its constructor and prints the contract's address, the call and its result: the storage
    that it wrote, the messages and events that it emitted, its output and its time. The local node
    is one file in the state folder: the contract is kept there for `genvm-manager call`.

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
        code=contract.code,
        file_name=contract.name,
    )
    run_and_exit(options, lambda node: node.submit(transaction))
