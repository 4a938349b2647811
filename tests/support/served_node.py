"""A node on a whole service: modules started over HTTP, and contracts run as nodes run them.

    with served_node() as node:
        node.start(WEB, NO_BROWSER)
        node.restart_llm({"one": played.backend()})
        contract = node.deploy(source, "argument")
        led = contract.lead("method", 5)
        assert contract.validate(led, "method", 5).disagreements == []

Leaving it stops the service, with its modules and all that it has started.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.http_api import FinishedRunReply
from genvm_manager.protocol.run_result import ResultCode, RunResult, decode_result
from genvm_manager.workers.genvm.cli import default_cache_dir

from .calls import MESSAGE
from .node_host import NodeHost
from .providers import module_config
from .service import RunningService
from .waiting import TIMEOUT

DEADLINE = TIMEOUT
NO_BROWSER = {"workers": 1, "webdriver_host": "http://127.0.0.1:9"}
"""A web module that starts quickly and renders nothing."""

HOST_DATA = {"node_address": "0xabc", "tx_id": "0xdef"}
LLM, WEB = "llm", "web"


class CrowdHost(NodeHost):
    """Serves any number of runs at the same time."""

    def serve(self, connection: Any) -> None:
        """Serve a connection in a thread."""
        threading.Thread(target=super().serve, args=(connection,), daemon=True).start()


@dataclass(frozen=True)
class Ran:
    """How a run ended, as HTTP tells it. `disagreements`: the blocks that the node was told of."""

    reply: FinishedRunReply
    disagreements: list[int]

    @property
    def result(self) -> RunResult:
        """The result of the run."""
        assert self.reply.consumed_result is not None, self.reply
        return decode_result(bytes(self.reply.consumed_result))

    def returned(self) -> Any:
        """Return the contract's value; fail with the contract's output if it did not return."""
        assert self.result.code is ResultCode.RETURN, (self.result.data, self.reply.stderr)
        return self.result.data

    def internal_error(self) -> str:
        """Return the message of an internal error; fail for another result."""
        assert self.result.code is ResultCode.INTERNAL_ERROR, self.result
        return str(self.result.data)


class ServedNode:
    """Asks a service over HTTP, and is the host of its runs at `address`."""

    def __init__(self, service: RunningService, host: CrowdHost, address: str) -> None:
        self.service = service
        self.host = host
        self.address = address
        self.deployed = 0

    # ----------------------------------------------------------------------------------- modules

    def post(self, path: str, **body: Any) -> httpx.Response:
        """Send a POST request to the service."""
        return self.service.http.post(path, json=body, timeout=DEADLINE)

    def start(self, kind: str, config: dict[str, Any], **more: Any) -> None:
        """Start a module."""
        answer = self.post("/module/start", module_type=kind, config=config, **more)
        assert answer.json() == {"result": "module_started"}, answer.text

    @contextlib.contextmanager
    def operators_file(self, kind: str, config: dict[str, Any]) -> Iterator[None]:
        """Have the module's file beside the settings, which may say what no client may."""
        file = self.service.folder / f"genvm-module-{kind}.yaml"
        file.write_text(json.dumps(config))
        try:
            yield
        finally:
            file.unlink()

    def restart_llm(self, backends: dict[str, Any], **settings: Any) -> None:
        """Have the LLM module serve with these backends, whether or not it runs."""
        config = module_config(backends, **settings)
        answer = self.post("/module/restart", module_type=LLM, config=config)
        assert answer.json() == {"result": "module_restarted"}, answer.text

    def stop(self, kind: str) -> str:
        """Stop a module and return the service's answer."""
        return str(self.post("/module/stop", module_type=kind).json()["result"])

    def status(self) -> dict[str, Any]:
        """Return the status as JSON."""
        status = self.service.http.get("/status").json()
        assert isinstance(status, dict)
        return status

    def workers(self, kind: str = LLM) -> list[dict[str, Any]]:
        """Return the module's workers, as `/status` shows them."""
        found = self.status()["modules"][kind]["workers"]
        assert isinstance(found, list)
        return found

    # -------------------------------------------------------------------------------------- runs

    def request(self, call: Any, host_data: dict[str, Any] | None = None, **fields: Any) -> bytes:
        """Return a run request of a leader. `message` in `fields` changes fields of the message."""
        message = MESSAGE | fields.pop("message", {})
        return calldata.encode(
            {
                "major": 0,
                "message": message,
                "calldata": call if isinstance(call, bytes) else calldata.encode(call),
                "timestamp": datetime.now(UTC).isoformat(),
                "host": self.address,
                "host_data": json.dumps(HOST_DATA | (host_data or {})),
                **fields,
            }
        )

    def begin(self, call: Any, **fields: Any) -> int:
        """Start a run and return its id."""
        return self.service.client.start_run(self.request(call, **fields))

    def end(self, run_id: int) -> Ran:
        """Wait for a run's end."""
        reply = self.service.client.get_run(run_id, wait=DEADLINE).status
        assert reply is not None
        return Ran(reply, list(self.host.disagreements))

    def run(self, call: Any, **fields: Any) -> Ran:
        """Start a run and wait for its end."""
        self.host.disagreements.clear()
        return self.end(self.begin(call, **fields))

    def deploy(self, source: str | Path, *args: Any) -> ServedContract:
        """Deploy a contract from its text or its file; it has to return."""
        code = source.read_bytes() if isinstance(source, Path) else source.encode()
        self.deployed += 1
        contract = ServedContract(self, Address(self.deployed.to_bytes(20, "big")))
        message = contract.message | {"is_init": True}
        ran = self.run({"args": list(args)}, code=code, message=message, no_modules=True)
        ran.returned()
        contract.keep(ran)
        return contract


@dataclass(frozen=True)
class ServedContract:
    """A contract of the node's."""

    node: ServedNode
    address: Address

    @property
    def message(self) -> dict[str, Any]:
        """The fields of a run request's message."""
        return {"contract_address": self.address}

    def lead(self, method: str, *args: Any, **fields: Any) -> Ran:
        """Run as a leader; its changes are not kept."""
        return self.node.run(_call(method, args), message=self.message, **fields)

    def begin(self, method: str, *args: Any, **fields: Any) -> int:
        """Start a leader's run and return its id."""
        return self.node.begin(_call(method, args), message=self.message, **fields)

    def validate(self, led: Ran, method: str, *args: Any) -> Ran:
        """Run as a validator, with the leader's results."""
        return self.lead(method, *args, leader_nondet_results=led.result.nondet_results)

    def replay(self, led: Ran, method: str, *args: Any) -> Ran:
        """Run deterministically, with the leader's results."""
        results = led.result.nondet_results
        return self.lead(method, *args, leader_nondet_results=results, is_sync=True)

    def view(self, method: str, *args: Any) -> Any:
        """Call a view without modules and return its value."""
        return self.lead(method, *args, permissions="rc").returned()

    def keep(self, ran: Ran) -> None:
        """Make what a run has changed part of the node's state."""
        self.node.host.apply(self.address, ran.result.storage_changes)


def _call(method: str, args: tuple[Any, ...]) -> dict[str, Any]:
    return {"method": method, "args": list(args)}


@contextlib.contextmanager
def served_node(config: str = "", **environment: str) -> Iterator[ServedNode]:
    """Run a node on a service of its own. `config`: further lines of its settings."""
    subprocess.run(
        [sys.executable, "-m", "genvm_manager.workers.genvm", "check", "--precompile"], check=True
    )
    settings = f"permits: {{total: 8}}\nexecutor_env: {{GENVM_CACHE_DIR: '{default_cache_dir()}'}}"
    host = CrowdHost()
    service = RunningService(
        "--no-precompile",
        config=f"{settings}\n{config}",
        executor=None,
        environment=environment,
    )
    # A socket's path has to be short.
    with service, host.listen(service.folder / "host") as address:
        yield ServedNode(service, host, address)
