"""The command `genvm-manager call`, which calls a contract on the local node."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from genvm_manager.manager.cli.exit_codes import Command, InvalidUsage
from genvm_manager.manager.cli.node_session import run_and_exit
from genvm_manager.manager.cli.options.contract import (
    EXIT_CODES_HELP,
    AddressType,
    ContractOptions,
    contract_options,
)
from genvm_manager.manager.local_node.node import LocalNode, Receipt
from genvm_manager.manager.local_node.transactions import Transaction
from genvm_manager.protocol.calldata import Address


@click.command("call", cls=Command, epilog=EXIT_CODES_HELP)
@click.argument("address", type=AddressType())
@click.argument("method", required=False)
@click.option("--view", is_flag=True, help="Read only: the method can neither write nor send.")
@contract_options
def command(address: Address, method: str | None, view: bool, **given: Any) -> NoReturn:
    """Call METHOD of the contract at ADDRESS on the local node.

    Prints the call and its result. If the method returns, its writes are kept and the messages that
    it sent are run. Without METHOD the call only transfers --value, to a contract's __receive__ or
    to an account.

    \b
    Examples:
      genvm-manager call 0x5f… get_storage --view
      genvm-manager call 0x5f… update --args '["new"]' --sender 0x20…02
      genvm-manager call 0x20…02 --value 1000
    """
    options = ContractOptions(**given)
    if view and method is None:
        raise InvalidUsage("--view: name a METHOD, as only a method can be read")
    if view and options.value:
        raise InvalidUsage("--view: omit --value, as a view cannot receive it")
    transaction = Transaction(
        sender=options.sender,
        origin=options.sender,
        target=address,
        calldata=options.calldata(method),
        value=options.value,
    )

    def work(node: LocalNode) -> Receipt:
        return Receipt([node.view(transaction)], []) if view else node.submit(transaction)

    run_and_exit(options, work)
