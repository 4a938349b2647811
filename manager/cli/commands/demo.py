"""The command `genvm-manager demo`, which deploys and calls an example contract."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from genvm_manager.base.files.state_folder import default_state_folder
from genvm_manager.base.files.temporary_files import settle_temporary_files, temporary_folder
from genvm_manager.manager.cli.node_session import open_node, reported_failures
from genvm_manager.manager.cli.rendering.render import exit_code, receipt_as_text
from genvm_manager.manager.launcher.private_service import private_service
from genvm_manager.manager.local_node.guestbook import CONTRACT, call, deployment
from genvm_manager.manager.local_node.node import LocalNode, Receipt
from genvm_manager.protocol.calldata import Address

DEADLINE = "1m"


@click.command("demo")
def command() -> None:
    """Deploy and call an example contract on a service of its own.

    Starts a service on a free port with its state in a temporary folder, deploys a guestbook
    contract, signs it, reads it, and shows each call and its result. Then it stops the service and
    removes everything. On the first use on a machine, compiling Python for WebAssembly takes some
    seconds.
    """
    with reported_failures(), _fresh_node() as node:
        receipt = _deploy(node, "Guests of GenVM")
        guestbook = receipt.transactions[0].callee
        _call(node, guestbook, "sign", "Hello from a contract")
        _call(node, guestbook, "read", view=True)


@contextmanager
def _fresh_node() -> Iterator[LocalNode]:
    settle_temporary_files(default_state_folder(os.environ))
    start = time.monotonic()
    click.echo("Starting a service on a free port, with its state in a temporary folder …")
    with (
        temporary_folder("genvm-demo-") as folder,
        private_service(folder) as service,
        open_node(folder, service.address, DEADLINE) as node,
    ):
        click.echo(f"{service.address} answers after {time.monotonic() - start:.1f} s.")
        yield node
        click.echo("\nStopping the service …")
    click.echo(f"Done in {time.monotonic() - start:.1f} s; everything was removed.")


def _deploy(node: LocalNode, *args: Any) -> Receipt:
    _show_command("run", CONTRACT.name, args=args)
    return _show(node.submit(deployment(*args)))


def _call(node: LocalNode, target: Address, method: str, *args: Any, view: bool = False) -> Receipt:
    _show_command("call", str(target), method, args=args, view=view)
    transaction = call(target, method, *args)
    return _show(Receipt([node.view(transaction)], []) if view else node.submit(transaction))


def _show_command(*command: str, args: tuple[Any, ...], view: bool = False) -> None:
    """Print the command that does the same on a permanent local node."""
    line = ["genvm-manager", *command, *(["--args", json.dumps(args)] if args else [])]
    click.secho("\n$ " + shlex.join(line + ["--view"] * view), bold=True)


def _show(receipt: Receipt) -> Receipt:
    """Print the receipt; exit here if the contract did not return."""
    click.echo(receipt_as_text(receipt))
    if code := exit_code(receipt.transactions[0]):
        sys.exit(code)
    return receipt
