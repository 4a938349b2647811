"""`genvm-manager`: the command line. A sub-command's module is imported only when it is used."""

from __future__ import annotations

from importlib import import_module

import click
from click.shell_completion import CompletionItem

from genvm_manager.protocol import __version__

from .program import Program

SECTIONS = {
    "Service": {
        "serve": "Run the service in the foreground.",
        "status": "Show modules, permits and runs at a glance.",
        "module": "Start, stop and look at the LLM and the web module.",
        "llm": "Try the models that answer prompts.",
        "permits": "Show or change how many runs there may be at once.",
        "log-level": "Say more or less in the log.",
    },
    "Runs": {
        "ps": "List runs.",
        "top": "Watch modules, permits and runs.",
        "logs": "Print what a run has written, or follow it.",
        "wait": "Wait for the end of a run.",
        "kill": "End a run.",
    },
    "Contracts": {
        "run": "Deploy a contract on the local node.",
        "call": "Call a method of a deployed contract.",
        "demo": "Deploy and call a contract, and show what happens.",
        "schema": "Show which methods a contract has.",
        "detect-version": "Say which executor a contract asks for.",
    },
    "Installation": {
        "doctor": "Examine the installation, and say what to do.",
        "install-root": "Lay down the folder tree that Studio and nodes expect.",
        "completion": "Print a script by which a shell completes commands.",
    },
}
"""Each `name` is the attribute `command` of the module `commands.<name>`, - being _ there."""

_WIDTH = max(len(name) for section in SECTIONS.values() for name in section)

COMMANDS = {name: summary for section in SECTIONS.values() for name, summary in section.items()}


class CommandGroup(Program):
    """Knows its commands by name and summary before it has any of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f".commands.{cmd_name.replace('-', '_')}", __name__).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(_WIDTH), text) for name, text in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
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
    Start the service and look at it:
      genvm-manager serve
      genvm-manager status

    \b
    Deploy a contract and call it (starts a service when none runs):
      genvm-manager run contract.py --args '["hello"]'
      genvm-manager call ADDRESS METHOD --args '[]' --view

    Each command explains itself: genvm-manager COMMAND --help.

    \b
    Exit codes, in short; the help of each command has its own:
      0   done; of run, call and wait: the contract returned
      1   it is not done, or not well; of run, call and wait: a user error
      2   no such command; of run, call and wait: a VM error
      3   of run, call and wait: an internal error
      64  and above: the command came to nothing, for the reason that its help names
    """
