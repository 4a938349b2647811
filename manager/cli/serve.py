"""`genvm-manager serve`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click
from setproctitle import setproctitle

from protocol.state_folder import default_state_folder

from ..service import Service, ServiceFailed, ServiceSettings, StopRequested
from ..stop_signals import StopSignals

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("serve")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [default: 3999]"
)
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    help="Unix socket to serve on, instead of TCP unless --host or --port is given too.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for all state.  [default: $XDG_STATE_HOME/genvm-manager]",
)
@click.option("--config", type=FILE, help="Settings, YAML.")
@click.option("--manifest-path", type=FILE, help="Which executors there are, YAML.")
@click.option(
    "--precompile/--no-precompile",
    default=True,
    help="Compile the built-in executor's guest first; takes seconds, once.",
)
def command(  # noqa: PLR0913, PLR0917 - click gives each option by itself
    host: str | None,
    port: int | None,
    socket: Path | None,
    state_dir: Path | None,
    config: Path | None,
    manifest_path: Path | None,
    precompile: bool,
) -> None:
    """Run the service in the foreground until Ctrl-C or SIGTERM.

    It is a supervisor and the HTTP processes in front of it. One that dies is started again; if it
    keeps dying, all is stopped. A second Ctrl-C ends runs that the first one waits for.

    \b
    Examples:
      genvm-manager serve
      genvm-manager serve --port 4000 --state-dir /var/lib/genvm-manager
      genvm-manager serve --socket /run/genvm-manager/http.sock

    \b
    Exit codes:
      0  stopped as asked
      1  could not start (another service holds the state folder, the port is in use, …),
         or given up because a process kept dying
      2  the command line is wrong
    """
    folder = (state_dir or default_state_folder(os.environ)).absolute()
    settings = ServiceSettings(
        state_folder=folder,
        config_path=config and config.absolute(),
        manifest_path=manifest_path and manifest_path.absolute(),
        host=host,
        port=port,
        socket=socket and socket.absolute(),
        precompile=precompile,
    )
    setproctitle(f"genvm-manager serve {folder}")
    try:
        with StopSignals() as stops, Service(settings, report=_report, stops=stops) as service:
            _greet(service, folder)
            service.run()
            _report("stopping; once more to hurry")
    except StopRequested:
        return
    except ServiceFailed as failure:
        if failure.args:
            _report(str(failure))
        sys.exit(1)


def _report(event: str) -> None:
    click.echo(f"genvm-manager: {event}", err=True)


def _greet(service: Service, folder: Path) -> None:
    url = service.url or "http://localhost"
    curl = "curl" if service.url else f"curl --unix-socket {shlex.quote(str(service.socket))}"
    addresses = " and ".join(str(a) for a in (service.url, service.socket) if a)
    click.echo(f"GenVM Manager serves {addresses} (state in {folder}; Ctrl-C stops it). Try:")
    click.echo(f"  {curl} {url}/status")
    click.echo(f"  {curl} {url}/permits -d '{{\"permits\": 4}}'")
    click.echo(f"  {curl} '{url}/genvm/1?wait=10s'")
