"""The nondet blocks of one run, for the leader, for a validator and for a replay.

Source: docs/spec/06-contracts.md#imports.

The leader runs each block and records what it gives. A validator asks the contract whether the
leader's result is acceptable, says so at the first one that is not, and goes on with that result; a
replay takes the results as they are. A result that is a VM error ends the run, in all three
(docs/spec/07-python-sdk.md#11-glvm).
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

        Raises `ExecutorFault`, and `CallEnded` for a result that is a VM error, and where a
        validator has no result of the leader.
        """
        number, self._count = self._count, self._count + 1
        outcome = self._outcome(number, run_stage, lead, validate)
        if outcome.code is ResultCode.VM_ERROR:
            why = outcome.why or f"nondet block {number} of the leader ended so"
            raise CallEnded(outcome._replace(why=why))
        return outcome.encode()

    def _outcome(self, number: int, run_stage: RunStage, lead: bytes, validate: bytes) -> Outcome:
        if self._is_sync:
            return self._replayed(number)
        if self._leader_results is None:
            outcome = run_stage(lead, None)
            self.results.append(outcome.encode())
            return outcome
        outcome = self._of_leader(number)
        if self.disagreement is None:
            judged = run_stage(validate, {"leaders_result": outcome.encode()})
            if judged.code is not ResultCode.RETURN or judged.data is not True:
                self._host.notify_nondet_disagreement(number)
                self.disagreement = number
        return outcome

    def _replayed(self, number: int) -> Outcome:
        results = self._leader_results or ()
        outcome = _decoded(results[number]) if number < len(results) else None
        if outcome is None:
            raise ExecutorFault(
                f"leader_nondet_results: nondet block {number} cannot be replayed, as there is no "
                f"result of it among the {len(results)}"
            )
        return outcome

    def _of_leader(self, number: int) -> Outcome:
        assert self._leader_results is not None
        if number >= len(self._leader_results):
            why = f"nondet block {number} is not among the {len(self._leader_results)} results"
            raise CallEnded(vm_error(ABSENT, why))
        outcome = _decoded(self._leader_results[number])
        if outcome is None:
            raise CallEnded(vm_error(f"{ABSENT} malformed", f"that of nondet block {number}"))
        return outcome


def _decoded(result: bytes) -> Outcome | None:
    """Return how a call ended by what another machine wrote of it; None: no call ends so."""
    try:
        code, data = ResultCode(result[0]), result[1:]
        if code is ResultCode.RETURN:
            return Outcome(code, calldata.decode(data))
        if code is ResultCode.USER_ERROR:
            return Outcome(code, _text_of_user_error(data))
        return vm_error(data.decode()) if code is ResultCode.VM_ERROR else None
    except (IndexError, ValueError, calldata.DecodeError):
        return None


def _text_of_user_error(data: bytes) -> str:
    """Return the text of a user error: plain UTF-8, or calldata of a str.

    Older executors wrote calldata. Some bytes are both, as in `Duplicate` the first one says of a
    str that it has 8 bytes; what begins with a letter or a digit is a plain text.
    """
    if not data[:1].isalnum():
        try:
            text = calldata.decode(data)
        except calldata.DecodeError:
            text = None
        if isinstance(text, str):
            return text
    return data.decode()
