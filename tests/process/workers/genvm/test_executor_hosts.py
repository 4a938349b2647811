"""Which host the executor asks for what, and how it says goodbye.

Source: docs/spec/04-executor.md#host-protocol.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from genvm_manager.protocol import calldata
from genvm_manager.protocol.executor import ExecutionData
from genvm_manager.protocol.host.messages import (
    HostErrorCode,
    HostRefusal,
    NotifyFinished,
    StorageRead,
)
from genvm_manager.protocol.host.server import RequestParser, answer
from genvm_manager.protocol.run_result import ResultCode, decode_result
from tests.support.calls import MESSAGE, Chain, options
from tests.support.node_host import NodeHost, run_executor
from tests.support.waiting import wait_until
from tests.support.wat import returns

DEPLOYMENT = ExecutionData(
    calldata.encode({}), MESSAGE | {"is_init": True}, "", returns(3), None, {}
)


class ClosingHost(NodeHost):
    """A newer host: it knows no `notify_finished` and closes instead of answering it."""

    def serve(self, connection: socket.socket) -> None:
        """Answer one connection."""
        with connection:
            parser = RequestParser()
            while received := connection.recv(1 << 16):
                for request in parser.feed(received):
                    if isinstance(request, NotifyFinished):
                        return
                    connection.sendall(answer(self, request))


def test_host_zero_hears_that_the_run_has_finished(chain: Chain) -> None:
    ended = run_executor(chain.address, DEPLOYMENT)
    assert ended.exit_code == 0
    assert wait_until(lambda: chain.host.finished) == [True]
    assert chain.host.results == []


def test_host_that_closes_at_the_end_is_a_goodbye_as_well() -> None:
    host = ClosingHost()
    with (
        tempfile.TemporaryDirectory(prefix="genvm-") as folder,
        host.listen(Path(folder) / "host") as address,
    ):
        ended = run_executor(address, DEPLOYMENT)
    assert ended.exit_code == 0
    assert ended.result is not None
    assert ended.result.code is ResultCode.RETURN


def test_method_hosts_say_who_gets_the_result(chain: Chain) -> None:
    ended = run_executor(chain.address, DEPLOYMENT._replace(method_hosts=[]))
    assert ended.exit_code == 0
    assert ended.result is None
    (result,) = chain.host.results
    assert decode_result(result).data == 3


def test_host_over_tcp() -> None:
    host = NodeHost()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with host.accept_from(listener):
            ended = run_executor(f"tcp://127.0.0.1:{port}", DEPLOYMENT)
    assert ended.exit_code == 0
    assert wait_until(lambda: host.finished) == [True]


def test_fees_left_are_echoed(chain: Chain) -> None:
    result = chain.result({}, returns(1), extras={"bucket_totals": [1, 2**70]})
    assert result.data_fees_remaining == [1, 2**70]


class DyingHost(NodeHost):
    """It answers nothing: the connection ends at the first request."""

    def serve(self, connection: socket.socket) -> None:
        """Answer one connection."""
        connection.recv(1)
        connection.close()


class SilentHost(NodeHost):
    """It takes requests and never answers."""

    def serve(self, connection: socket.socket) -> None:
        """Answer one connection."""
        with connection:
            while connection.recv(1 << 16):
                pass


class DrippingHost(NodeHost):
    """It answers, a byte now and then and never to the end."""

    def serve(self, connection: socket.socket) -> None:
        """Answer one connection."""
        connection.settimeout(0.2)
        with connection, suppress(ConnectionError):
            while True:
                with suppress(TimeoutError):
                    if not connection.recv(1 << 16):
                        return
                connection.sendall(b"\0")


def waiting_for_answers(seconds: float) -> tuple[str, ...]:
    """Return an executor that waits so long for an answer of a host, instead of a minute."""
    program = f"""
import sys
from genvm_manager.workers.genvm.calls import hosts
hosts.ANSWER_SECONDS = {seconds}
from genvm_manager.workers.genvm.cli import main
sys.exit(main())
"""
    return sys.executable, "-c", program


@pytest.mark.parametrize("host", [DyingHost(), SilentHost(), DrippingHost()])
def test_host_that_goes_away_ends_the_run(host: NodeHost) -> None:
    call = ExecutionData(calldata.encode({}), MESSAGE, "", None, None, {})
    with (
        tempfile.TemporaryDirectory(prefix="genvm-") as folder,
        host.listen(Path(folder) / "host") as address,
    ):
        ended = run_executor(
            address, call, options=options(seconds=0.1), command=waiting_for_answers(2.0)
        )
    assert ended.exit_code == 1
    assert ended.result is not None
    assert ended.result.code is ResultCode.INTERNAL_ERROR
    assert "the run failed: the host" in ended.log[-1]["message"]


class RefusingHost(NodeHost):
    """It knows no contract."""

    def storage_read(self, request: StorageRead) -> bytes:
        """Return stored bytes."""
        raise HostRefusal(HostErrorCode.ABSENT)


def test_contract_that_the_host_refuses_to_read_is_invalid() -> None:
    call = ExecutionData(calldata.encode({}), MESSAGE, "", None, None, {})
    with (
        tempfile.TemporaryDirectory(prefix="genvm-") as folder,
        RefusingHost().listen(Path(folder) / "host") as address,
    ):
        ended = run_executor(address, call)
    assert ended.exit_code == 0
    assert ended.result is not None
    assert (ended.result.code, ended.result.data) == (ResultCode.VM_ERROR, "invalid_contract")
