"""The nondet blocks of one run, for the leader, for a validator and for a replay.

Source: docs/spec/06-contracts.md#imports.

The leader runs each block and records what it gives. A validator asks the contract whether the
leader's result is acceptable, says so when it is not, and goes on with that result; a replay takes
the results as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from genvm_manager.protocol import calldata
from genvm_manager.protocol.host.client import HostClient
from genvm_manager.protocol.run_result import ResultCode
from genvm_manager.workers.genvm.engine.endings import CallEnded, ExecutorFault, Outcome, vm_error

ABSENT = "absent_leader_nondet_output"
"""The VM error of a validator's run that comes to a block of which the leader has no result."""

RunStage = Callable[[bytes, dict[str, Any] | None], Outcome]
"""Runs a guest in nondet mode with this entry data and stage data."""


class NondetBlocks:
    """Counts the blocks of a run, which is the leader's when `leader_results` is None.

    `results`: what the leader's blocks gave, in call order, each a code byte and data; empty in
    other runs. `disagreement`: the number of the first block whose result was not accepted.
    Results beyond the last block mean nothing.
    """

    def __init__(
        self, host: HostClient, leader_results: Sequence[bytes] | None, *, is_sync: bool
    ) -> None:
        self.results: list[bytes] = []
        self.disagreement: int | None = None
        self._host = host
        self._leader_results = leader_results
        self._is_sync = is_sync
        self._count = 0

    def run(self, run_stage: RunStage, lead: bytes, validate: bytes) -> bytes:
        """Run one block, and return its result: a code byte and data.

        `lead` and `validate` are the entry data of the leader's and of the validator's function.

        Raises `ExecutorFault`, and `CallEnded` where a validator has no result of the leader.
        """
        number, self._count = self._count, self._count + 1
        if self._is_sync:
            return self._replayed(number)
        if self._leader_results is None:
            result = run_stage(lead, None).encode()
            self.results.append(result)
            return result
        result = self._of_leader(number)
        judged = run_stage(validate, {"leaders_result": result})
        if judged.code is not ResultCode.RETURN or judged.data is not True:
            self._disagree(number)
        return result

    def _replayed(self, number: int) -> bytes:
        results = self._leader_results or ()
        if number >= len(results) or not _is_result(results[number]):
            raise ExecutorFault(
                f"leader_nondet_results: nondet block {number} cannot be replayed, as there is no "
                f"result of it among the {len(results)}"
            )
        return results[number]

    def _of_leader(self, number: int) -> bytes:
        assert self._leader_results is not None
        if number >= len(self._leader_results):
            raise CallEnded(vm_error(ABSENT))
        result = self._leader_results[number]
        if not _is_result(result):
            raise CallEnded(vm_error(f"{ABSENT} malformed"))
        return result

    def _disagree(self, number: int) -> None:
        self._host.notify_nondet_disagreement(number)
        if self.disagreement is None:
            self.disagreement = number


def _is_result(result: bytes) -> bool:
    """Return whether a call can have ended so.

    Another machine wrote it, and the contract is going to read it.
    """
    code, data = result[:1], result[1:]
    try:
        if code in (bytes([ResultCode.RETURN]), bytes([ResultCode.USER_ERROR])):
            calldata.decode(data)
        elif code == bytes([ResultCode.VM_ERROR]):
            data.decode()
        else:
            return False
    except (calldata.DecodeError, UnicodeDecodeError):
        return False
    return True
