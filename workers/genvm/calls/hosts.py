"""Connecting to the hosts of a run.

Source: docs/spec/04-executor.md.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from genvm_manager.base.network.host_port import parse_host_port
from genvm_manager.base.text.numbers import whole_number
from genvm_manager.protocol.executor import METHOD_HOSTS
from genvm_manager.protocol.host.client import HostClient
from genvm_manager.workers.genvm.engine.contract_clock import Pause
from genvm_manager.workers.genvm.engine.endings import ExecutorFault

CONNECT_SECONDS = 5.0
MAX_DESCRIPTOR = 999_999_999
ANSWER_SECONDS = 60.0
"""Seconds that a host may take for one answer; after that it counts as gone."""


def connect(addresses: Sequence[str], pause: Pause) -> HostClient:
    """Return a client of the hosts at `unix://PATH`, `tcp://HOST:PORT` or `fd://N`, host 0 first.

    `pause` lasts while a host is asked something for a contract. Until the execution data says
    otherwise, methods go to the hosts in the manager's own order. Raises `ExecutorFault`, which
    names the host, within `CONNECT_SECONDS` for each.
    """
    connections = []
    for address in addresses:
        scheme, separator, rest = address.partition("://")
        try:
            connection = _open(scheme if separator else "", rest)
        except (OSError, ValueError, OverflowError) as error:
            raise ExecutorFault(
                f"host {address}: {error}; check that its host loop is running"
            ) from None
        connection.settimeout(ANSWER_SECONDS)
        connections.append(connection)
    return HostClient(connections, METHOD_HOSTS, pause)


def _open(scheme: str, rest: str) -> socket.socket:
    if scheme == "fd":
        return socket.socket(fileno=whole_number(rest, MAX_DESCRIPTOR))
    if scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(rest)
        return connection
    if scheme == "tcp":
        connection = socket.create_connection(parse_host_port(rest), CONNECT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    raise ValueError("expected unix://PATH, tcp://HOST:PORT or fd://N")
