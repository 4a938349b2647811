"""The command line `genvm-manager`. The module of a command is imported only when it is used."""

from __future__ import annotations

import signal
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from genvm_manager.protocol import __version__

from .program import Program

SECTIONS = {
    "Service": {
        "serve": "Run the service in the foreground.",
        "status": "Show modules, permits and runs at a glance.",
        "module": "Start, stop and show the LLM and the web module.",
        "llm": "Check the models that answer prompts.",
        "permits": "Show or set the number of permits.",
        "log-level": "Set the log level.",
    },
    "Runs": {
        "ps": "List runs.",
        "top": "Watch modules, permits and runs.",
        "logs": "Print or follow the output of a run.",
        "wait": "Wait for the end of a run.",
        "kill": "End a run.",
    },
    "Contracts": {
        "run": "Deploy a contract on the local node.",
        "call": "Call a method of a deployed contract.",
        "demo": "Deploy and call an example contract.",
        "schema": "Show the methods of a contract.",
        "detect-version": "Show which executor version a contract needs.",
    },
    "Installation": {
        "doctor": "Check the installation, and advise on problems.",
        "install-root": "Create the folder tree that Studio and nodes expect.",
        "completion": "Print a completion script for a shell.",
    },
}
"""A command `name` is the attribute `command` of the module `commands.<name>`, with _ for -."""

_WIDTH = max(len(name) for section in SECTIONS.values() for name in section)

COMMANDS = {name: summary for section in SECTIONS.values() for name, summary in section.items()}


class CommandGroup(Program):
    """A group that knows the names and summaries of its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command, or None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name == "serve":
            # SIGHUP asks for a reload; until `StopSignals` handles it, it would end the service.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        command = import_module(f".commands.{cmd_name.replace('-', '_')}", __name__).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands in sections."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(_WIDTH), text) for name, text in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the options or commands that begin with the incomplete word."""
        if incomplete.startswith("-"):
            return super(click.Group, self).shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=summary)
            for name, summary in COMMANDS.items()
            if name.startswith(incomplete)
        ]


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="genvm-manager")
def main() -> None:
    """Run GenLayer's Intelligent Contracts on this machine.

    \b
    Start the service and show its status:
      genvm-manager serve
      genvm-manager status

    \b
    Deploy a contract and call it (without a running service, one is started for it):
      genvm-manager run contract.py --args '["hello"]'
      genvm-manager call ADDRESS METHOD --args '[]' --view

    Help for a command: genvm-manager COMMAND --help.

    \b
    Exit codes in short; the help of each command lists its own:
      0   done; run, call and wait: the contract returned
      1   failed, or a problem was found; run, call and wait: a user error
      2   no such command; run, call and wait: a VM error
      3   run, call and wait: an internal error
      64  and above: the command itself failed, as its help explains
    """
