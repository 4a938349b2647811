"""Runs the local node's transactions through the service's HTTP API.

Source: docs/spec/01-http-api.md#runs.
"""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from genvm_manager.base.errors import ManagerError
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.errors import MalformedMessage
from genvm_manager.protocol.http_api import FinishedRunReply
from genvm_manager.protocol.ipc.modules import ModuleState
from genvm_manager.protocol.ipc.runs import Cause, Exit
from genvm_manager.protocol.run_end import describe_run_end
from genvm_manager.protocol.run_result import ResultCode, RunResult, decode_result, execution_hash

from .errors import LocalNodeFailed
from .host import LedgerHost, serving
from .transactions import CHAIN_ID, Ending, Transaction

_POLL = 60.0
"""Seconds that one request waits for the end of a run."""

_END_SLACK = 60.0
"""Seconds beyond its deadline for a run to be ended and recorded."""

_CANCEL_GRACE_MS = 2_000
"""Milliseconds between SIGTERM and SIGKILL for a run whose command failed or was interrupted."""

_VM_ERRORS = {Cause.DEADLINE: "timeout", Cause.MEMORY: "OOM"}
"""Causes for which the contract is at fault: the run ends with a VM error of this code."""

_STOPS = (Cause.CANCELLED, Cause.SHUTDOWN)
"""Causes for which the executor is told to stop: the `timeout` that it then hands over is none of
the contract's (docs/spec/04-executor.md#stopping)."""


class HttpExecutions:
    """Runs transactions, each within `deadline` (such as `30s`), on the service behind `client`.

    Runs are those of a leader. They use the modules that are running; without any, their results
    depend on the ledger and the time alone. `is_sync` is not used: it would replay a leader's
    results, and there are none here.
    """

    def __init__(self, client: HttpClient, deadline: str, *, is_own: bool = True) -> None:
        """Read which modules are running. `is_own`: the service can access this user's files."""
        self._client = client
        self._deadline = deadline
        self._is_own = is_own
        self._modules = [
            str(kind)
            for kind, module in client.status().modules.items()
            if module.state is ModuleState.RUNNING
        ]

    def run(
        self, transaction: Transaction, callee: Address, permissions: str, host: LedgerHost
    ) -> Ending:
        """Run a transaction and return its end.

        Raises what the client raises, and `LocalNodeFailed`.
        """
        major = self._major(transaction, host)
        with serving(host, is_private=self._is_own) as url:
            request = self._request(transaction, callee, permissions, url) | {"major": major}
            run_id = self._client.start_run(calldata.encode(request))
            try:
                return ending_of(run_id, major, self._wait(run_id))
            except BaseException:
                with suppress(ManagerError):
                    self._client.cancel(run_id, _CANCEL_GRACE_MS)
                raise

    def _major(self, transaction: Transaction, host: LedgerHost) -> int:
        """Return the public-ABI major that the code of a deployment needs, else the contract's."""
        if transaction.code is None:
            return host.major
        return self._client.detect_version(transaction.code, datetime.now(UTC))

    def _request(
        self, transaction: Transaction, callee: Address, permissions: str, url: str
    ) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat()
        token = uuid.uuid4().hex
        return {
            "message": {
                "contract_address": callee,
                "sender_address": transaction.sender,
                "origin_address": transaction.origin,
                "signer_address": transaction.origin,
                "chain_id": CHAIN_ID,
                "value": transaction.value,
                "is_init": transaction.target is None,
                "datetime": now,
            },
            "calldata": transaction.calldata,
            "code": transaction.code,
            "timestamp": now,
            "host": url,
            "host_data": msgspec.json.encode({"node_address": "local", "tx_id": token}).decode(),
            "permissions": permissions,
            "modules": self._modules,
            "deadline": self._deadline,
            "host_genvm_id": token,
        }

    def _wait(self, run_id: int) -> FinishedRunReply:
        latest = time.monotonic() + parse_duration(self._deadline) + _END_SLACK
        while time.monotonic() < latest:
            if (run := self._client.get_run(run_id, wait=_POLL).status) is not None:
                return run
        raise LocalNodeFailed(
            f"run {run_id} has not ended, long after its deadline; check the service by "
            "genvm-manager status"
        )


def ending_of(run_id: int, major: int, run: FinishedRunReply) -> Ending:
    """Return how a run ended for its contract."""
    result, reason = _result(run)
    return Ending(
        run_id=run_id,
        major=major,
        result=result,
        reason=reason,
        stdout=run.stdout,
        stderr=run.stderr,
        wall_ms=run.wall_ms,
        cpu_seconds=run.cpu_seconds,
        contract_error=run.contract_error,
    )


def _result(run: FinishedRunReply) -> tuple[RunResult | None, str | None]:
    """Return the run's result, or None and the reason."""
    if (code := _VM_ERRORS.get(run.cause)) is not None:
        digest = execution_hash(ResultCode.VM_ERROR, code, [], [])
        return RunResult(ResultCode.VM_ERROR, code, digest, [], [], [], None, [], None), None
    if run.consumed_result is None:
        return None, _without_result(run)
    try:
        result = decode_result(bytes(run.consumed_result))
    except MalformedMessage as error:
        return None, f"the executor's result is not understood: {error}"
    is_stopped = (result.code, result.data) == (ResultCode.VM_ERROR, "timeout")
    if run.cause in _STOPS and is_stopped:
        return None, _without_result(run)
    return result, None


def _without_result(run: FinishedRunReply) -> str:
    end = describe_run_end(run.cause, Exit(run.exit_code, run.signal), reason=run.reason)
    return f"the run has no result: {end}"
