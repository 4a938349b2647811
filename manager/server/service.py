"""Gunicorn with the application, in front of a supervisor."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from genvm_manager.base.files.state_folder import supervisor_socket
from genvm_manager.base.files.temporary_files import NoTemporaryFolder, settle_temporary_files
from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.logging.setup import configure_logging
from genvm_manager.base.logging.shared_level import SharedLevel
from genvm_manager.base.network.listeners import AddressError, gunicorn_binds
from genvm_manager.base.process.parent_pipe import stop_when_closed
from genvm_manager.base.process.signals import settle_signals
from genvm_manager.base.settings.http import SettingsFiles, SettingsUnusable
from genvm_manager.manager.api.app import create_app
from genvm_manager.manager.api.events.broadcaster import StatusBroadcaster
from genvm_manager.manager.api.limits.concurrency import ConcurrencyLimits
from genvm_manager.manager.api.limits.transfers import current_caller
from genvm_manager.manager.api.run_hosts import RunHosts, install_run_hosts
from genvm_manager.manager.api.sources import Sources
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.launcher_link import ServeLink

from .gunicorn_master import Master
from .gunicorn_settings import gunicorn_settings
from .log_level_offer import LogLevelOffer
from .request_body import WsgiApplication, without_gunicorn
from .shared_flag import SharedFlag

EXIT_BAD_CONFIG = 2
"""As the supervisor's: a process manager need not try again."""

EXIT_ADDRESS = 1
"""As gunicorn's own, when it cannot listen."""

log = event_log(__name__)


class HttpService(BaseApplication):  # type: ignore[misc]
    """The application as gunicorn loads it: once in each worker, after the fork.

    The master has an object of this class too, and each worker a copy: methods say who calls them.
    """

    def __init__(
        self, files: SettingsFiles, binds: Sequence[str], state_folder: Path, link: ServeLink
    ) -> None:
        """Read the settings. Without `binds`, those of the configuration are used.

        Raises `SettingsUnusable` and `AddressError`.
        """
        self._files = files
        self._link = link
        self._settings = files.read()
        config = self._settings.config
        self._binds = [
            each for bind in binds or [config.bind_address] for each in gunicorn_binds(bind)
        ]
        self._state_folder = state_folder
        self._socket = supervisor_socket(state_folder)
        self._client: SupervisorClient | None = None
        self._feed: StatusBroadcaster | None = None
        self._offer: LogLevelOffer | None = None
        self._master: Master | None = None
        self.level = SharedLevel(state_folder, config.log_level)
        self._is_level_due = SharedFlag()
        self._has_loaded = SharedFlag()
        configure_logging("http", config.log_format, config.log_level)
        super().__init__()

    def run(self) -> None:
        """Serve until a signal ends the master; then exit."""
        self._master = Master(self, self._has_loaded)
        self._master.run()

    def load_config(self) -> None:
        """Tell gunicorn its settings."""
        settings = gunicorn_settings(self._settings.config, self._binds, self._state_folder)
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> WsgiApplication:
        """In a worker: return what answers its requests."""
        self._offer = LogLevelOffer(
            self._socket, self._settings.config.log_level, self._is_level_due
        )
        self._offer.start()
        config, token = self._settings.config, self._settings.token
        self._client = SupervisorClient(
            self._socket,
            client=f"http worker {os.getpid()}",
            caller=current_caller,
        )
        self._feed = StatusBroadcaster(self._client.watch_status)
        limits = ConcurrencyLimits(config.http_threads)
        sources = Sources(self._client, self._feed, limits, self._link.readiness)
        app = create_app(sources, config, token)
        install_run_hosts(app, self._run_hosts())
        self._has_loaded.set()
        # The master begins a turn at once, and says READY.
        os.kill(os.getppid(), signal.SIGCHLD)
        return without_gunicorn(app)

    def _run_hosts(self) -> RunHosts:
        """Return the rules for hosts of runs, none of which may be a listening socket of ours."""
        listeners = self._master.LISTENERS if self._master is not None else []
        names = [listener.getsockname() for listener in listeners]
        return RunHosts(self._settings.config.allowed_hosts_of_runs, self._state_folder, names)

    def reload(self) -> None:
        """In the master: take over what the files say now. Raises `SettingsUnusable`, and then
        changes nothing.
        """
        self._settings, waiting = self._settings.renewed(self._files.read())
        for name in waiting:
            log.warning("setting_waits_for_restart", setting=name)
        super().reload()

    def offer_level(self) -> None:
        """In the master: put the level of the settings in force in every process."""
        # Where a supervisor has set a level, it has to agree, and all processes follow it. The
        # next worker asks it: the master must not wait for its answer. Each reload has a flag of
        # its own, so that workers of an earlier one neither offer their level nor end this offer.
        self._is_level_due.clear()
        self._is_level_due = SharedFlag()
        self._is_level_due.set()
        level = self._settings.config.log_level
        if self.level.read() is None and self.level.current != level:
            self.level.take(level)

    def renewed_listener(self) -> socket.socket | None:
        """In the master: return a Unix socket that `serve` had to make again, if there is one."""
        return self._link.offered()

    def retire(self) -> None:
        """In a worker: end the streams, which would never end by themselves, and begin nothing."""
        if self._offer is not None:
            self._offer.close()
        if self._feed is not None:
            self._feed.retire()

    def stop_waiting(self) -> None:
        """End every request that waits for the supervisor; it is answered with 503."""
        if self._client is not None:
            self._client.close()


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m genvm_manager.manager.server",
        description="Gunicorn with the application, in front of a supervisor.",
    )
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--config", type=Path, help="YAML; see genvm-manager serve --help")
    parser.add_argument(
        "--bind",
        action="append",
        metavar="HOST:PORT|unix:PATH|fd://N",
        help="where to listen; may be given more than once (default: the config's bind_address)",
    )
    parser.add_argument(
        "--token-file", type=Path, help="holds the bearer token (default: the config's token_file)"
    )
    parser.add_argument(
        "--parent-pipe-fd", type=int, metavar="N", help="a pipe: stop when its other end closes"
    )
    parser.add_argument("--readiness-fd", type=int, metavar="N", help="memory shared with serve")
    parser.add_argument(
        "--listeners-fd", type=int, metavar="N", help="a socket: brings listening ones made again"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM. Exit code 2: the settings are wrong; 1: it cannot listen there."""
    arguments = _arguments(argv)
    # A core would have keys in it that clients send, and the token.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Until the master handles it: a reload must not end one that is starting.
    settle_signals(signal.SIGHUP)
    if arguments.parent_pipe_fd is not None:
        stop_when_closed(arguments.parent_pipe_fd)
    try:
        settle_temporary_files(arguments.state_dir)
        service = HttpService(
            SettingsFiles(arguments.config, arguments.token_file),
            arguments.bind or [],
            arguments.state_dir.absolute(),
            ServeLink.inherited(arguments.readiness_fd, arguments.listeners_fd),
        )
    except SettingsUnusable as error:
        print(f"genvm-manager http: {error}", file=sys.stderr)
        return EXIT_BAD_CONFIG
    except NoTemporaryFolder as error:
        print(f"genvm-manager http: {error.message}", file=sys.stderr)
        return 1
    except AddressError as error:
        print(f"genvm-manager http: {error}", file=sys.stderr)
        return EXIT_ADDRESS
    _allow_many_descriptors()
    service.run()
    return 0


def _allow_many_descriptors() -> None:
    """Each waiting request needs two; the usual soft limit is for programs that call select()."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
