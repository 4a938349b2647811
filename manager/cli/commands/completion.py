"""The command `genvm-manager completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from genvm_manager.manager.cli.exit_codes import Command


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print a script that completes commands, options and run ids in SHELL.

    \b
    For this session:
      source <(genvm-manager completion bash)
    Permanently:
      genvm-manager completion bash > /etc/bash_completion.d/genvm-manager
      genvm-manager completion zsh > "${fpath[1]}/_genvm-manager"
      cd ~/.config/fish/completions
      genvm-manager completion fish > genvm-manager.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    main = context.find_root().command
    completion = kind(main, {}, "genvm-manager", "_GENVM_MANAGER_COMPLETE")
    click.echo(completion.source(), nl=False)
