"""The command `genvm-modules`, by which GenLayer Studio and nodes start the service."""

from __future__ import annotations

import os
from pathlib import Path

import click

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.files.state_folder import modules_state_folder
from genvm_manager.base.network.listeners import AddressError, split_address
from genvm_manager.base.process.parent import Parent, ParentUnknown
from genvm_manager.manager.cli.commands.serve import FILE, FOLDER, serve
from genvm_manager.manager.cli.options.parameters import PortType
from genvm_manager.manager.launcher.errors import ServiceFailed
from genvm_manager.manager.launcher.install_root import settings_of
from genvm_manager.manager.launcher.service_settings import ServiceSettings, read_config
from genvm_manager.protocol import __version__

from .program import Program


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="genvm-modules")
@click.option("--root", type=FOLDER, required=True, hidden=True)
@click.option("--started-by", type=int, hidden=True)
@click.pass_context
def main(context: click.Context, root: Path, started_by: int | None) -> None:
    """Start the GenVM Manager as GenLayer Studio and nodes do.

    \b
    Example:
      genvm-modules manager --port 3999 --die-with-parent

    The LLM and web modules have no command here: the manager runs them itself.
    """
    context.obj = (root.absolute(), started_by)


@main.command("manager")
@click.option("--port", type=PortType(), help="Port; 0 takes a free one.  [default: 3999]")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    help="Unix socket to serve on, instead of TCP unless --host or --port is given too.",
)
@click.option(
    "--die-with-parent",
    is_flag=True,
    help="End at once, with all runs, when the process that starts this one ends.",
)
@click.option("--config", type=FILE, help="Settings.  [default: config/genvm-manager.yaml]")
@click.option("--manifest-path", type=FILE, help="Executors.  [default: data/manifest.yaml]")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for all state.  [default: one per address, "
    "$XDG_STATE_HOME/genvm-modules/HOST-PORT]",
)
@click.pass_obj
def manager(  # noqa: PLR0913, PLR0917 - click gives each option by itself
    started: tuple[Path, int | None],
    port: int | None,
    host: str | None,
    socket: Path | None,
    die_with_parent: bool,
    config: Path | None,
    manifest_path: Path | None,
    state_dir: Path | None,
) -> None:
    """Run the GenVM Manager in the foreground until SIGINT or SIGTERM.

    It is `genvm-manager serve` with the settings and the executors of the root that contains this
    program. Several may run on one machine, on different ports or sockets: each has its own state
    folder, and finds its runs there again when it is started at the same address. With --port 0 all
    use the same folder, so to run several, give each a --state-dir.

    \b
    Exit codes:
      0  stopped as asked, or the parent ended (--die-with-parent)
      1  could not start (the port is in use, a setting is wrong, …),
         or gave up because a process ended again and again
      2  wrong usage; options that are not listed here are refused
    """
    root, started_by = started
    parent = _parent(started_by) if die_with_parent else None
    config = config.absolute() if config else settings_of(root)
    socket = socket and socket.absolute()
    settings = ServiceSettings(
        state_folder=(state_dir or _own_folder(config, host, port, socket)).absolute(),
        config_path=config,
        root=root,
        manifest_path=manifest_path and manifest_path.absolute(),
        host=host,
        port=port,
        socket=socket,
    )
    serve(settings, parent)


def _parent(started_by: int | None) -> Parent:
    try:
        return Parent(started_by)
    except ParentUnknown as error:
        raise click.UsageError(str(error)) from None


def _own_folder(config: Path, host: str | None, port: int | None, socket: Path | None) -> Path:
    """Return the state folder of the service that listens at an address."""
    try:
        if socket is not None and host is None and port is None:
            return modules_state_folder(os.environ, str(socket))
        usual_host, usual_port = split_address(read_config(config)[0].bind_address)
        address = f"{host or usual_host}:{usual_port if port is None else port}"
        return modules_state_folder(os.environ, address)
    except BadRequest as error:
        raise click.UsageError(error.message) from None
    except (ServiceFailed, AddressError) as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main(prog_name="genvm-modules")
