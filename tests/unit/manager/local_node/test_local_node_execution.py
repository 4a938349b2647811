"""What the end of a run means for its transaction on the local node."""

from __future__ import annotations

import pytest

from genvm_manager.manager.local_node.execution import ending_of
from genvm_manager.protocol import calldata
from genvm_manager.protocol.http_api import FinishedRunReply
from genvm_manager.protocol.ipc.runs import Cause, Exit, FinishedRun
from genvm_manager.protocol.run_result import ResultCode

TIMEOUT = b"\2" + calldata.encode({"data": "timeout"})
RETURNED = b"\0" + calldata.encode({"data": 5})


def reply(cause: Cause, result: bytes | None) -> FinishedRunReply:
    run = FinishedRun(
        id=1, version="v0.2.0", cause=cause, exit=Exit(0), reason=None, accepted_at=0.0,
        started_at=0.0, finished_at=1.0, stdout=b"", stderr=b"", genvm_log=b"[]", result=result,
        stdout_dropped=0, stderr_dropped=0, log_dropped=0, log_dropped_bytes=0, peak_rss=None,
        cpu_seconds=None,
    )  # fmt: skip
    return FinishedRunReply.of(run, as_base64=False)


@pytest.mark.parametrize("cause", [Cause.CANCELLED, Cause.SHUTDOWN])
def test_a_run_that_was_told_to_stop_is_no_error_of_the_contract(cause: Cause) -> None:
    ending = ending_of(1, 0, reply(cause, TIMEOUT))
    assert ending.result is None
    assert ending.reason is not None
    assert ending.reason.startswith("the run has no result: ")


def test_a_result_that_came_before_the_stop_counts() -> None:
    ending = ending_of(1, 0, reply(Cause.SHUTDOWN, RETURNED))
    assert ending.result is not None
    assert (ending.result.code, ending.result.data) == (ResultCode.RETURN, 5)


def test_a_contract_s_own_timeout_is_an_error_of_the_machine() -> None:
    ending = ending_of(1, 0, reply(Cause.EXITED, TIMEOUT))
    assert ending.result is not None
    assert ending.result.data == "timeout"
