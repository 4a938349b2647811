"""One contract, its address and its callers, for tests that drive the executor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.executor import ExecutionData
from genvm_manager.protocol.run_result import RunResult

from .node_host import Ended, NodeHost, run_executor

CONTRACT = Address(b"\x01" * 20)
OTHER = Address(b"\x02" * 20)
SENDER = Address(b"\x0a" * 20)

MESSAGE: dict[str, Any] = {
    "contract_address": CONTRACT,
    "sender_address": SENDER,
    "origin_address": SENDER,
    "chain_id": 61_999,
    "value": 0,
    "is_init": False,
    "datetime": "2026-02-03T04:05:06Z",
}


class Chain:
    """A host and its address: deploys and calls, and keeps what a return changed."""

    def __init__(self, host: NodeHost, address: str) -> None:
        self.host = host
        self.address = address

    def run(self, call: Any, code: bytes | None = None, **how: Any) -> Ended:
        """Run one call; `code` makes it a deployment. `how`: changes of the message in `message`,
        fields of the execution data by their names, the rest as `run_executor` takes it."""
        message = MESSAGE | {"is_init": code is not None} | how.pop("message", {})
        entry = call if isinstance(call, bytes) else calldata.encode(call)
        data = ExecutionData(
            calldata=entry,
            message=message,
            host_data=how.pop("host_data", ""),
            code=code,
            leader_nondet_results=how.pop("leader_nondet_results", None),
            extras=how.pop("extras", {}),
        )
        ended = run_executor(self.address, data, **how)
        if ended.result is not None and ended.result.code == 0:
            self.host.apply(message["contract_address"], ended.result.storage_changes)
        return ended

    def result(self, call: Any, code: bytes | None = None, **how: Any) -> RunResult:
        """Return the result of a run that has to hand one over."""
        ended = self.run(call, code, **how)
        assert ended.exit_code == 0, ended
        assert ended.result is not None, ended
        return ended.result

    def outcome(self, code: bytes, **how: Any) -> tuple[str, Any]:
        """Deploy `code`; its result code's name and its data."""
        result = self.result({}, code, **how)
        return result.code.name, result.data


def options(*, memory: int | None = None, seconds: float | None = None) -> Sequence[str]:
    """Return the executor's own limits as its command line takes them."""
    limits = {"--memory-limit": memory, "--max-seconds": seconds}
    return [f"{name}={limit}" for name, limit in limits.items() if limit is not None]
