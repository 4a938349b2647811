"""Bare Flask on gunicorn: `python -m benchmarks.baselines.flask_server PORT FOLDER`.

It runs with the service's own gunicorn settings. `/bare` answers at once; `/forward` sends the
reply through the echo server at `FOLDER/echo.sock` first, over pooled connections, as the service
does with its supervisor.
"""

from __future__ import annotations

import socket
import sys
from collections import deque
from pathlib import Path

from flask import Flask, Response
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from genvm_manager.base.logging.shared_level import SharedLevel
from genvm_manager.base.settings.config import Config
from genvm_manager.manager.server.gunicorn_settings import gunicorn_settings

from .echo_server import SIZE

PAYLOAD = b"x" * SIZE


class Baseline(BaseApplication):  # type: ignore[misc]
    """The gunicorn application."""

    def __init__(self, port: int, folder: Path) -> None:
        self._settings = gunicorn_settings(Config(), [f"127.0.0.1:{port}"], folder)
        self._echo = str(folder / "echo.sock")
        self.level = SharedLevel(folder, Config().log_level)
        super().__init__()

    def load_config(self) -> None:
        """Apply the settings."""
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Return the Flask application."""
        app = Flask(__name__)
        idle: deque[socket.socket] = deque()

        @app.get("/bare")
        def bare() -> Response:
            return Response(PAYLOAD, mimetype="application/json")

        @app.get("/forward")
        def forward() -> Response:
            connection = idle.pop() if idle else self._connect()
            connection.sendall(PAYLOAD)
            received = b""
            while len(received) < SIZE:
                received += connection.recv(SIZE)
            idle.append(connection)
            return Response(received, mimetype="application/json")

        return app

    def stop_waiting(self) -> None:
        """Do nothing: no request waits here."""

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._echo)
        return connection


if __name__ == "__main__":
    Baseline(int(sys.argv[1]), Path(sys.argv[2])).run()
