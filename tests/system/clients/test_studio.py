"""The manager as GenLayer Studio starts it and speaks with it (docs/spec/)."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genvm_manager.manager.client.client import HttpClient
from genvm_manager.protocol import calldata
from genvm_manager.protocol.host.messages import StorageRead
from genvm_manager.protocol.run_result import ResultCode, decode_result
from tests.support.node_host import NodeHost
from tests.support.service import processes_of
from tests.support.studio import CONTRACT, CRASHING, SLEEPING, Studio, studio_request
from tests.support.waiting import TIMEOUT, wait_until

OCTETS = "Content-Type: application/octet-stream"
SOURCE = b"""# { "Depends": "py-genlayer:test" }
from genlayer import *


class Hello(gl.Contract):
    greeting: str

    def __init__(self, greeting: str):
        self.greeting = greeting

    @gl.public.view
    def greet(self, name: str) -> str:
        print("greeting", name)
        return f"{self.greeting}, {name}!"
"""


class GatedHost(NodeHost):
    """Answers no read before its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.is_asked = threading.Event()

    def storage_read(self, request: StorageRead) -> bytes:
        self.is_asked.set()
        assert self.gate.wait(TIMEOUT)
        return super().storage_read(request)


@pytest.fixture(scope="module")
def studio() -> Iterator[Studio]:
    with Studio() as studio:
        manager = studio.start()
        status = studio.await_status()
        assert status["llm_module"] == status["web_module"] == "stopped"
        yield studio
        assert studio.stop(manager, signal.SIGTERM) == 0
        wait_until(lambda: not studio.leftovers())


def run(studio: Studio, node: NodeHost, address: str, *lines: str, **fields: Any) -> dict[str, Any]:
    """One transaction as Studio carries it out: run, serve the host until it ends, clean up, read.

    The host is told of the end by `notify_finished`; Studio then wants the process gone and reads
    its status, polling while there is none yet.
    """
    ended = len(node.finished)
    genvm_id = studio.start_run(studio_request(address, **fields), *lines)
    wait_until(lambda: len(node.finished) > ended)
    assert node.finished[-1], studio.poll(genvm_id)
    gone = studio.ask("DELETE", f"/genvm/{genvm_id}?wait_timeout_ms=20")
    assert (gone.status, gone.json) == (
        200,
        {"result": "shutdown_completed", "genvm_id": genvm_id},
    )
    # It is on record before anybody is told of the end.
    status = studio.poll(genvm_id)
    assert status is not None
    return status


def deployment(*args: Any) -> dict[str, Any]:
    message = studio_request()["message"] | {"is_init": True}
    return {"message": message, "code": SOURCE, "calldata": calldata.encode({"args": list(args)})}


def test_a_contract_is_deployed_and_called(studio: Studio, tmp_path: Path) -> None:
    node = NodeHost()
    with node.listen(tmp_path / "host.sock") as address:
        deployed = run(studio, node, address, OCTETS, **deployment("Hello"))
        assert isinstance(deployed["consumed_result"], list)
        result = decode_result(bytes(deployed["consumed_result"]))
        assert result.code is ResultCode.RETURN
        assert result.storage_changes
        node.apply(CONTRACT, result.storage_changes)
        call = calldata.encode({"method": "greet", "args": ["world"]})
        called = run(studio, node, address, calldata=call)  # Without a content type.
    result = decode_result(bytes(called["consumed_result"]))
    assert (result.code, result.data) == (ResultCode.RETURN, "Hello, world!")
    assert called["stdout"] == "greeting world\n"
    assert (called["version_major"], called["version_minor"]) == (0, 2)
    assert abs(called["finished_at"] / 1000 - time.time()) < 60
    assert called["cause"] in ("exited", "cancelled")
    assert isinstance(called["genvm_log"], list)


def test_who_polls_while_it_runs_sees_null(studio: Studio, tmp_path: Path) -> None:
    node = GatedHost()
    with node.listen(tmp_path / "host.sock") as address:
        call = calldata.encode({"method": "greet", "args": ["world"]})
        genvm_id = studio.start_run(studio_request(address, calldata=call), OCTETS)
        assert node.is_asked.wait(TIMEOUT)
        for _ in range(5):
            assert studio.poll(genvm_id) is None
        status = studio.await_status()
        assert status["executions"][str(genvm_id)]["result"] is None
        node.gate.set()
        wait_until(lambda: studio.poll(genvm_id))
    executions = studio.await_status()["executions"]
    assert executions[str(genvm_id)]["result"]["finished_at"]


def test_a_crash_before_it_connects_is_seen_by_a_poll(studio: Studio) -> None:
    genvm_id = studio.start_run(studio_request(major=CRASHING), OCTETS)
    status = wait_until(lambda: studio.poll(genvm_id))
    assert status["consumed_result"] is None
    assert (status["cause"], status["exit_code"]) == ("exited", None)
    assert studio.ask("DELETE", f"/genvm/{genvm_id}?wait_timeout_ms=20").status == 200
    assert studio.poll(genvm_id) == status


def test_studio_ends_a_run_that_takes_too_long(studio: Studio) -> None:
    genvm_id = studio.start_run(studio_request(major=SLEEPING), OCTETS)
    before = studio.await_status()
    assert studio.poll(genvm_id) is None
    assert studio.ask("DELETE", f"/genvm/{genvm_id}?wait_timeout_ms=20").status == 200
    status = studio.poll(genvm_id)
    assert status is not None
    assert status["cause"] == "cancelled"
    after = studio.await_status()
    assert after["permits"]["current"] > before["permits"]["current"]
    assert 0 < after["permits"]["current"] <= after["permits"]["max"]


def test_what_was_finished_is_there_after_a_restart_on_the_same_port() -> None:
    with Studio() as studio:
        manager = studio.start()
        studio.await_status()
        genvm_id = studio.start_run(studio_request(major=CRASHING))
        status = wait_until(lambda: studio.poll(genvm_id))
        assert studio.stop(manager, signal.SIGINT) == 0
        assert not studio.leftovers()
        manager = studio.start()
        studio.await_status()
        assert studio.poll(genvm_id) == status
        assert studio.start_run(studio_request(major=CRASHING)) > genvm_id
        assert studio.stop(manager, signal.SIGTERM) == 0


def test_several_run_beside_each_other_from_one_tree(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    other = studio.start(studio.program, "manager", "--socket", str(path), "--die-with-parent")
    wait_until(path.is_socket)
    wait_until(lambda: f"serves {path}" in studio.log)
    assert studio.stop(other, signal.SIGINT) == 0
    assert not path.exists()
    assert studio.ask("GET", "/status").status == 200


def test_a_socket_beside_a_port_is_served_even_after_http_was_ended(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with Studio() as studio, HttpClient(f"unix:{path}") as client:
        manager = studio.start(*studio.command, "--socket", str(path))
        wait_until(studio.is_up)
        assert client.is_ready()
        master = next(p for p in processes_of(studio.state) if "http master" in p.cmdline()[0])
        master.terminate()
        wait_until(lambda: "starting it again" in studio.log)
        wait_until(studio.is_up)
        assert client.is_ready()
        assert studio.stop(manager, signal.SIGTERM) == 0
        assert not path.exists()


@pytest.mark.parametrize(
    ("options", "exit_code", "expected"),
    [
        (["--gas-price", "5"], 2, "--gas-price"),
        (["--port", "seventy"], 2, "expected a number in decimal digits, got 'seventy'"),
        (["--config", "/nowhere.yaml"], 2, "'/nowhere.yaml' does not exist"),
        (["--host", "nowhere.invalid", "--port", "0"], 1, "host nowhere.invalid"),
    ],
)
def test_what_is_wrong_with_a_start_is_said(
    studio: Studio, options: list[str], exit_code: int, expected: str
) -> None:
    assert studio.start(studio.program, "manager", *options).wait(TIMEOUT) == exit_code
    assert expected in studio.log
    assert "Traceback" not in studio.log


def test_a_port_in_use_is_said(studio: Studio) -> None:
    other = ["--state-dir", str(studio.folder / "other"), "--port", str(studio.port)]
    assert studio.start(studio.program, "manager", *other).wait(TIMEOUT) == 1
    assert f"port {studio.port} on 127.0.0.1 is in use" in studio.log


def test_help_names_options_and_exit_codes(studio: Studio) -> None:
    for arguments in (["--help"], ["manager", "--help"], ["--version"]):
        assert studio.start(studio.program, *arguments).wait(TIMEOUT) == 0
    for expected in ("--die-with-parent", "--manifest-path", "--socket", "Exit codes"):
        assert expected in studio.log
