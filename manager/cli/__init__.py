"""`genvm-manager`: the command line. A sub-command's module is imported only when it is used."""

from __future__ import annotations

from importlib import import_module

import click

from protocol import __version__

COMMANDS = {
    "serve": "Run the service in the foreground.",
    "run": "Deploy a contract on the local node.",
    "call": "Call a method of a deployed contract.",
    "demo": "Deploy and call a contract, and show what happens.",
    "install-root": "Lay down the folder tree that GenLayer Studio and nodes expect.",
}
"""Each `name` is the attribute `command` of the module `manager.cli.<name>`, - being _ there."""


class CommandGroup(click.Group):
    """Knows its commands by name and summary before it has any of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f".{cmd_name.replace('-', '_')}", __name__).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="genvm-manager")
def main() -> None:
    """Run GenLayer's Intelligent Contracts on this machine.

    \b
    Start the service and look at it:
      genvm-manager serve
      curl http://127.0.0.1:3999/status

    \b
    Deploy a contract and call it (starts a service when none runs):
      genvm-manager run contract.py --args '["hello"]'
      genvm-manager call ADDRESS METHOD --args '[]' --view

    Each command explains itself: genvm-manager COMMAND --help.

    \b
    Exit codes:
      0  done; of run and call: the contract returned
      1  of serve: it could not start or gave up; of run and call: a user error
      2  the command line is wrong; of run and call: a VM error
      3  of run and call: an internal error
    """
