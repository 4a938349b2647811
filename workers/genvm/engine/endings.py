"""How a guest ends, and the two exceptions that end a guest or a run."""

from __future__ import annotations

from typing import Any, NamedTuple

from genvm_manager.protocol import calldata
from genvm_manager.protocol.run_result import ResultCode


class Outcome(NamedTuple):
    """How a call ended. `data` is the value that it returned, or the text of an error.

    For an error of the machine, that is a code such as `exit_code 7`, and `why` says what led to
    it, for the contract's author: it is logged and never part of a result.
    """

    code: ResultCode
    data: Any
    why: str = ""

    def encode(self) -> bytes:
        """Return what the caller gets: the code byte, then calldata, or the UTF-8 of an error.

        Source: docs/spec/07-python-sdk.md#5-the-contract-class-and-calls.
        """
        if self.code is ResultCode.RETURN:
            return bytes([self.code]) + calldata.encode(self.data)
        return bytes([self.code]) + str(self.data).encode()


def vm_error(code: str, why: str = "") -> Outcome:
    """Return the outcome of a call that ended with an error of the machine."""
    return Outcome(ResultCode.VM_ERROR, code, why)


OUT_OF_MEMORY = vm_error("OOM memory")
"""The run holds more than its memory limit, in its own memory or in that of the executor."""

OUT_OF_TABLES = vm_error("OOM table")
"""A module wants more tables, or larger ones, than a guest may have."""

OUT_OF_STORAGE = vm_error("OOM storage")
"""The run has written more pages of storage than the executor keeps for one run."""

OUT_OF_RECEIPT = vm_error("OOM receipt")
"""What the run gives to others is more than the executor keeps for it, or a host takes."""

TIMEOUT = vm_error("timeout")
"""The contract's time is over."""


class CallEnded(Exception):
    """Ends the guest that is being served, with `outcome`. No code between may catch it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.code.name)
        self.outcome = outcome


class ExecutorFault(Exception):
    """The run cannot go on, through no fault of the contract; it ends as an internal error.

    The message says what happened and what to do next. It may be shown to clients.
    """
