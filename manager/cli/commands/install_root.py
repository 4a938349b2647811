"""The command `genvm-manager install-root`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from genvm_manager.base.text.printable import printable
from genvm_manager.manager.launcher.install_root import RootRefused, install_root, settings_of


@click.command("install-root")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--force", is_flag=True, help="Replace files that you changed; yours are kept as NAME.old."
)
def command(folder: Path, force: bool) -> None:
    """Create in DIR the folder tree that GenLayer Studio and nodes expect of a GenVM.

    DIR is created if it does not exist. Its programs start this installation. Re-run to upgrade:
    unchanged files are updated, and files that you changed are kept. If a file that you changed
    also has a new version, nothing is done without --force.

    \b
    The tree:
      bin/genvm-modules              what Studio and nodes start
      bin/genvm-manager              the command line, with the tree's settings
      config/genvm-manager.yaml      settings, with explanations
      config/genvm-module-llm.yaml   models that answer prompts
      config/genvm-module-web.yaml   access to the web
      data/manifest.yaml             the list of executors
      executor/VERSION/bin/genvm     the executors
      runners/NAME/HASH.tar          your own runners for contracts

    \b
    Exit codes:
      0  done
      1  refused without a change; the message says why
      2  wrong usage
    """
    root = folder.absolute()
    try:
        installed = install_root(root, force=force)
    except RootRefused as refusal:
        click.echo(f"genvm-manager: {printable(str(refusal))}", err=True)
        sys.exit(1)
    for name in installed.written:
        click.echo(f"wrote     {name}")
    for name in installed.replaced:
        click.echo(f"replaced  {name} (yours is {name}.old)")
    for name in installed.kept:
        click.echo(f"kept      {name} (changed by you)")
    click.echo(f"{printable(f'{root} is ready. Settings: {settings_of(root)}.')} Start it:")
    program = printable(shlex.quote(str(root / "bin" / "genvm-modules")))
    click.echo(f"  {program} manager --port 3999")
