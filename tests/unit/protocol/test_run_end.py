"""How a process or a run ended is said in one place and in the same words."""

from __future__ import annotations

import pytest

from genvm_manager.protocol.ipc.runs import Cause, Exit
from genvm_manager.protocol.run_end import describe_exit, describe_run_end


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (Exit(code=0), "ended with exit code 0"),
        (Exit(signal=9), "was ended by SIGKILL"),
        (Exit(signal=40), "was ended by signal 40"),
        (Exit(), "ended"),
    ],
)
def test_the_end_of_a_process_names_its_exit_code_or_signal(end: Exit, words: str) -> None:
    assert describe_exit(end) == words


@pytest.mark.parametrize(
    ("cause", "end", "words"),
    [
        (Cause.EXITED, Exit(code=0), "exited with code 0"),
        (Cause.EXITED, Exit(signal=11), "ended by SIGSEGV"),
        (Cause.EXITED, Exit(), "exited"),
        (Cause.CANCELLED, Exit(signal=15), "cancelled by SIGTERM"),
        (Cause.CANCELLED, Exit(code=3), "cancelled with code 3"),
        (Cause.CANCELLED, Exit(), "cancelled"),
        (Cause.DEADLINE, Exit(signal=9), "stopped at its deadline by SIGKILL"),
        (Cause.MEMORY, Exit(signal=9), "stopped for want of memory by SIGKILL"),
        (Cause.SHUTDOWN, Exit(signal=15), "stopped with the supervisor by SIGTERM"),
        (Cause.LOST, Exit(), "lost"),
    ],
)
def test_the_end_of_a_run_names_its_cause_and_its_exit(cause: Cause, end: Exit, words: str) -> None:
    assert describe_run_end(cause, end) == words


def test_the_end_of_a_run_may_say_how_long_it_took_and_why() -> None:
    words = describe_run_end(
        Cause.DEADLINE, Exit(signal=9), after="2s", reason="ran longer than 2 s"
    )
    assert words == "stopped at its deadline by SIGKILL after 2s: ran longer than 2 s"


def test_a_return_code_is_an_exit_code_or_a_signal() -> None:
    assert Exit.of_returncode(3) == Exit(code=3)
    assert Exit.of_returncode(-9) == Exit(signal=9)
