"""The command `genvm-manager serve`."""

from __future__ import annotations

import os
import resource
import shlex
import sys
from pathlib import Path
from typing import Any

import click
from setproctitle import setproctitle

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.files.state_folder import default_state_folder, require_text
from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.logging.setup import configure_logging
from genvm_manager.base.process.parent import Parent
from genvm_manager.base.process.reparented import ReparentedChildren
from genvm_manager.manager.cli.options.parameters import PortType
from genvm_manager.manager.cli.streams import OutputLost, drop_output
from genvm_manager.manager.launcher.errors import ServiceFailed, StopRequested
from genvm_manager.manager.launcher.install_root import settings_of
from genvm_manager.manager.launcher.service import Service
from genvm_manager.manager.launcher.service_settings import ServiceSettings, read_config
from genvm_manager.manager.launcher.stop_signals import StopSignals

log = event_log(__name__)

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command("serve")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=PortType(), help="Port; 0 takes a free one.  [default: 3999]")
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
@click.option(
    "--root",
    type=FOLDER,
    envvar="GENVM_MANAGER_ROOT",
    help="Use the settings and executors of this root; see genvm-manager install-root.",
)
@click.option("--config", type=FILE, help="Settings, YAML.  [default: those of --root]")
@click.option("--manifest-path", type=FILE, help="The list of executors, YAML.")
@click.option(
    "--token-file",
    type=FILE,
    help="File with the bearer token that requests for data need; mode 0600.",
)
@click.option(
    "--precompile/--no-precompile",
    default=True,
    help="Compile the built-in executor's guest at the start; takes seconds, once.",
)
def command(**given: Any) -> None:
    """Run the service in the foreground until Ctrl-C or SIGTERM.

    It consists of a supervisor and the HTTP processes in front of it. One that ends is started
    again; if it ends again and again, everything is stopped. A second Ctrl-C ends the runs that the
    first one waits for; a third one waits for nothing. SIGHUP reloads settings, token, manifest and
    the modules' files without touching a run; but when the terminal closes, the service stops.

    \b
    Examples:
      genvm-manager serve
      genvm-manager serve --port 4000 --state-dir /var/lib/genvm-manager
      genvm-manager serve --socket /run/genvm-manager/http.sock
      genvm-manager serve --host 0.0.0.0 --token-file /etc/genvm-manager/token

    \b
    Exit codes:
      0  stopped as asked
      1  could not start (the state folder or the port is in use, …), or gave up
         because a process ended again and again
      2  wrong usage
    """
    serve(_settings(**given))


def _settings(  # noqa: PLR0913 - one for each option
    *,
    host: str | None,
    port: int | None,
    socket: Path | None,
    state_dir: Path | None,
    root: Path | None,
    config: Path | None,
    manifest_path: Path | None,
    token_file: Path | None,
    precompile: bool,
) -> ServiceSettings:
    try:
        folder = (state_dir or default_state_folder(os.environ)).absolute()
    except BadRequest as error:
        raise click.UsageError(error.message) from None
    config = config or (root and settings_of(root))
    return ServiceSettings(
        state_folder=folder,
        config_path=config and config.absolute(),
        root=root and root.absolute(),
        manifest_path=manifest_path and manifest_path.absolute(),
        host=host,
        port=port,
        socket=socket and socket.absolute(),
        token_file=token_file and token_file.absolute(),
        precompile=precompile,
    )


def serve(settings: ServiceSettings, parent: Parent | None = None) -> None:
    """Run the service until it is asked to stop, or until `parent`, if given, ends.

    Exit with 1 when it cannot start or gives up.
    """
    try:
        _require_text(settings)
    except BadRequest as error:
        _say(f"genvm-manager: {error}", is_error=True)
        sys.exit(1)
    setproctitle(f"genvm-manager serve {settings.state_folder}")
    # The environment may hold keys of providers, so no process of the service dumps core.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        config, _ = read_config(settings.config_path)
        configure_logging("serve", config.log_format, config.log_level)
        with (
            StopSignals(parent) as stops,
            Service(
                settings, report=log.warning, stops=stops, reparented=ReparentedChildren()
            ) as service,
        ):
            _greet(service, settings.state_folder)
            service.run()
            log.info("stopping (press Ctrl-C again to force)")
    except StopRequested:
        return
    except ServiceFailed as failure:
        if failure.args:
            _say(f"genvm-manager: {failure}", is_error=True)
        sys.exit(1)


def _require_text(settings: ServiceSettings) -> None:
    """Raise `BadRequest` for a path that is not UTF-8: no log or reply could hold it."""
    require_text(settings.state_folder, "state folder")
    named = (settings.socket, settings.config_path, settings.root, settings.manifest_path)
    for path in (*named, settings.token_file):
        if path is not None:
            require_text(path, "path")


def _say(line: str, *, is_error: bool = False) -> None:
    # The reader of the output may be gone; the service must clean up all the same.
    try:
        click.echo(line, err=is_error)
    except OutputLost:
        drop_output()


def _greet(service: Service, folder: Path) -> None:
    url = service.url or "http://localhost"
    curl = "curl" if service.url else f"curl --unix-socket {shlex.quote(str(service.socket))}"
    addresses = " and ".join(str(a) for a in (*service.urls, service.socket) if a)
    _say(f"GenVM Manager serves {addresses} (state in {folder}; Ctrl-C stops it).")
    if service.is_compiling:
        _say("The built-in executor is being compiled; /readyz is 200 once it is.")
    _say("Open it in a browser, or try:" if service.url else "Try:")
    _say(f"  {curl} {url}/status")
    _say(f"  {curl} {url}/permits -d '{{\"permits\": 4}}'")
    _say(f"  {curl} '{url}/genvm/1?wait=10s'")
