"""`genvm-manager call`: call a contract on the local node."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from genvm_manager.manager.cli.exit_codes import Command, Misuse
from genvm_manager.manager.cli.node_session import carry_out
from genvm_manager.manager.cli.options.contract import (
    ENDING_HELP,
    AddressType,
    ContractOptions,
    contract_options,
)
from genvm_manager.manager.local_node.node import LocalNode, Receipt
from genvm_manager.manager.local_node.transactions import Transaction
from genvm_manager.protocol.calldata import Address


@click.command("call", cls=Command, epilog=ENDING_HELP)
@click.argument("address", type=AddressType())
@click.argument("method", required=False)
@click.option("--view", is_flag=True, help="Only read: nothing may be written or sent.")
@contract_options
def command(address: Address, method: str | None, view: bool, **given: Any) -> NoReturn:
    """Call METHOD of the contract at ADDRESS on the local node.

    Prints what went in and what came out. What the method wrote is kept when it returns, and the
    messages it sent are run. Without METHOD the call only carries --value, to a contract's
    __receive__ or to an account.

    \b
    Examples:
      genvm-manager call 0x5f… get_storage --view
      genvm-manager call 0x5f… update --args '["new"]' --sender 0x20…02
      genvm-manager call 0x20…02 --value 1000
    """
    options = ContractOptions(**given)
    if view and method is None:
        raise Misuse("--view needs a METHOD")
    if view and options.value:
        raise Misuse("--view: a view takes no --value")
    transaction = Transaction(
        sender=options.sender,
        origin=options.sender,
        target=address,
        calldata=options.calldata(method),
        value=options.value,
    )

    def work(node: LocalNode) -> Receipt:
        return Receipt([node.view(transaction)], []) if view else node.submit(transaction)

    carry_out(options, work)
