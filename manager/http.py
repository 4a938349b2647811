"""`python -m manager.http`: gunicorn with the application, in front of a supervisor."""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from protocol.config import Config, parse_config
from protocol.errors import BadRequest
from protocol.log_lines import Level
from protocol.state_folder import supervisor_socket

from .app import create_app
from .gunicorn_master import Master
from .gunicorn_settings import gunicorn_settings
from .lifeline import stop_when_closed
from .log_level import LogLevelWatch, SharedLevel, put_in_force
from .logs import configure_logging, set_level
from .shares import Shares
from .supervisor_client import SupervisorClient
from .token_file import TokenFileError, read_token
from .transfers import current_caller


class HttpService(BaseApplication):  # type: ignore[misc]
    """The application as gunicorn loads it: once in each worker, after the fork."""

    def __init__(
        self, config: Config, binds: Sequence[str], state_folder: Path, token: str | None
    ) -> None:
        self._config = config
        self._token = token
        self._settings = gunicorn_settings(config, binds, state_folder)
        self._socket = supervisor_socket(state_folder)
        self._client: SupervisorClient | None = None
        self._shared_level = SharedLevel(config.log_level)
        super().__init__()

    def run(self) -> None:
        Master(self, self._shared_level).run()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        self._follow_log_level()
        shares = Shares(self._config.http_threads)
        self._client = SupervisorClient(
            self._socket,
            client=f"http worker {os.getpid()}",
            shares=shares,
            caller=current_caller,
        )
        return create_app(self._client, self._config, shares, self._token)

    def _follow_log_level(self) -> None:
        """In a worker: from the configured level on, whatever the master had before the fork."""
        level = self._config.log_level
        set_level(level)

        def tell(new: Level) -> None:
            self._shared_level.level = new
            put_in_force(new)

        LogLevelWatch(self._socket, "http worker", level, tell).start()

    def stop_waiting(self) -> None:
        """End every request that waits for the supervisor; it is answered with 503."""
        if self._client is not None:
            self._client.close()


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m manager.http", description=__doc__)
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
        "--lifeline-fd", type=int, metavar="N", help="a pipe: stop when its other end closes"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM. Exit code 1: the configuration is wrong, or the address is taken."""
    arguments = _arguments(argv)
    if arguments.lifeline_fd is not None:
        stop_when_closed(arguments.lifeline_fd)
    try:
        text = arguments.config.read_text() if arguments.config else ""
        config, _ = parse_config(text)
        binds = arguments.bind or [config.bind_address]
        configure_logging(config.log_level, config.log_format, "http")
        token_file = arguments.token_file or (config.token_file and Path(config.token_file))
        token = read_token(token_file) if token_file else None
        service = HttpService(config, binds, arguments.state_dir.absolute(), token)
    except (OSError, ValueError, BadRequest, TokenFileError) as error:
        print(f"genvm-manager http: {error}", file=sys.stderr)
        return 1
    _allow_many_descriptors()
    service.run()
    return 0


def _allow_many_descriptors() -> None:
    """Each waiting request needs two; the usual soft limit is for programs that call select()."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
