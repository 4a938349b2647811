"""All settings of gunicorn, in one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.settings.config import Config
from genvm_manager.manager.api.limits.concurrency import ConcurrencyLimits

from .gunicorn_log import JoinedLogger
from .gunicorn_worker import ServiceWorker, begin_request

log = event_log(__name__)

SILENT_CONNECTIONS = 256
"""Connections that a worker keeps besides those that it serves: idle, or not done with a head."""

HEADERS = 64
HEADER_SIZE = 4094
"""How many headers a request may have, and the bytes of each; see `gunicorn_worker.MAX_HEAD`."""


def gunicorn_settings(config: Config, binds: Sequence[str], state_folder: Path) -> dict[str, Any]:
    """Return gunicorn's settings. `binds` has its own form: `HOST:PORT`, `unix:PATH` or `fd://N`."""
    threads = ConcurrencyLimits(config.http_threads).threads

    def take_over_listeners(arbiter: Any) -> None:
        are_given = all(bind.startswith("fd://") for bind in binds)
        if arbiter.systemd and config.bind_address != Config().bind_address:
            log.warning(
                "bind_address_without_meaning", reason="systemd listens, by genvm-manager.socket"
            )
        # gunicorn unlinks Unix sockets when it stops, but for those of systemd. Those of `serve`
        # have to stay as well: its next HTTP listens on them.
        arbiter.systemd = arbiter.systemd or are_given

    return {
        "bind": list(binds),
        "when_ready": take_over_listeners,
        "worker_class": ServiceWorker,
        "workers": config.http_workers,
        "threads": threads,
        "worker_connections": threads + SILENT_CONNECTIONS,
        "limit_request_fields": HEADERS,
        "limit_request_field_size": HEADER_SIZE,
        "keepalive": 30,
        "graceful_timeout": 5,
        "timeout": 30,
        "umask": 0o177,
        "worker_tmp_dir": _heartbeat_folder(state_folder),
        "control_socket_disable": True,
        # gunicorn would believe headers about path and scheme of all clients on this machine, and
        # so of all clients of a proxy here.
        "forwarder_headers": "",
        "secure_scheme_headers": {},
        "logger_class": JoinedLogger,
        "errorlog": None,
        "pre_request": begin_request,
        # gunicorn sets its own title in a worker just before it calls the second.
        "pre_fork": _names_process(f"genvm-manager http master {state_folder}"),
        "post_fork": _names_process(f"genvm-manager http worker {state_folder}"),
    }


def _names_process(title: str) -> Callable[[object, object], None]:
    """Return a hook of gunicorn's that sets the title of the process that calls it."""

    def name_process(_arbiter: object, _worker: object) -> None:
        setproctitle(title)

    return name_process


def _heartbeat_folder(state_folder: Path) -> str:
    """Return where workers touch a file each second: in memory, so that a slow disk kills none."""
    shared_memory = "/dev/shm"  # noqa: S108 - the files are unlinked as soon as they are open
    return shared_memory if os.access(shared_memory, os.W_OK) else str(state_folder)
