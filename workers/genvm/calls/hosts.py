"""The hosts of a run: connecting to them, and which one serves which method.

Source: docs/spec/04-executor.md.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from genvm_manager.base.network.host_port import parse_host_port
from genvm_manager.base.text.numbers import whole_number
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.executor import METHOD_HOSTS
from genvm_manager.protocol.host import HostClient, Method, StorageRead
from genvm_manager.workers.genvm.run.contract_clock import Pause

CONNECT_SECONDS = 5.0
MAX_DESCRIPTOR = 999_999_999
ANSWER_SECONDS = 60.0
"""How long a host may take for one answer, at most; after that it counts as gone."""


class HostUnreachable(Exception):
    """A host of the command line cannot be used; the message says which and why."""


class Hosts:
    """All hosts of a run as one: each method goes to the host that serves it.

    `method_hosts` is that of the execution data; until it is known, the manager's own order holds.
    `pause` lasts while a host is asked for a contract.
    """

    def __init__(self, clients: Sequence[HostClient], pause: Pause) -> None:
        self._clients = clients
        self.pause = pause
        self.method_hosts: Sequence[int] = METHOD_HOSTS

    def storage_read(self, request: StorageRead) -> bytes:
        """See `HostClient`."""
        with self.pause:
            return self._serving(Method.STORAGE_READ).storage_read(request)

    def eth_call(self, address: Address, calldata: bytes) -> bytes:
        """See `HostClient`."""
        with self.pause:
            return self._serving(Method.ETH_CALL).eth_call(address, calldata)

    def get_balance(self, address: Address) -> int:
        """See `HostClient`."""
        with self.pause:
            return self._serving(Method.GET_BALANCE).get_balance(address)

    def remaining_fuel_as_gen(self) -> int:
        """See `HostClient`."""
        with self.pause:
            return self._serving(Method.REMAINING_FUEL_AS_GEN).remaining_fuel_as_gen()

    def consume_fuel(self, amount: int) -> None:
        """See `HostClient`."""
        with self.pause:
            self._serving(Method.CONSUME_FUEL).consume_fuel(amount)

    def notify_nondet_disagreement(self, call_number: int) -> None:
        """See `HostClient`."""
        client = self._serving(Method.NOTIFY_NONDET_DISAGREEMENT)
        with self.pause:
            client.notify_nondet_disagreement(call_number)

    def consume_result(self, result: bytes) -> None:
        """See `HostClient`."""
        self._serving(Method.CONSUME_RESULT).consume_result(result)

    def notify_finished(self) -> None:
        """See `HostClient`."""
        self._serving(Method.NOTIFY_FINISHED).notify_finished()

    def _serving(self, method: Method) -> HostClient:
        index = self.method_hosts[method] if method < len(self.method_hosts) else 0
        return self._clients[index if index < len(self._clients) else 0]


def connect(addresses: Sequence[str]) -> Hosts:
    """The hosts at `unix://PATH`, `tcp://HOST:PORT` or `fd://N`, host 0 first.

    Raises `HostUnreachable` within `CONNECT_SECONDS` for each.
    """
    clients = []
    for address in addresses:
        scheme, separator, rest = address.partition("://")
        try:
            connection = _open(scheme if separator else "", rest)
        except (OSError, ValueError, OverflowError) as error:
            raise HostUnreachable(f"host {address}: {error}; is its host loop there?") from None
        connection.settimeout(ANSWER_SECONDS)
        clients.append(HostClient(connection))
    return Hosts(clients, Pause())


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
