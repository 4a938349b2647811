"""The fuzzing's own machinery: inputs are functions of seed and number, and faults are seen."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from genvm_manager.protocol.run_result import ResultCode, RunResult
from tests.fuzz import service_watch
from tests.fuzz.campaign import Campaign
from tests.fuzz.contract_trial import differences, faults_of
from tests.fuzz.executor_runs import PROJECT, Ended
from tests.fuzz.forked import observe_in_children
from tests.fuzz.observation import Observation
from tests.fuzz.pure import pure_tester
from tests.fuzz.report import summary, text
from tests.fuzz.target import Target, Tester, input_of
from tests.fuzz.targets import TARGETS


def result(code: ResultCode, data: object, execution_hash: bytes = b"") -> bytes:
    return RunResult(code, data, execution_hash, [], [], [], None, [], None).encode()


FINE = Ended(0, result(ResultCode.RETURN, None), b"printed", b'{"level": "info"}\n', 0.1, 1 << 20)


@pytest.mark.parametrize("name", TARGETS)
def test_an_input_is_a_function_of_its_seed_and_number(name: str) -> None:
    target = TARGETS[name]
    made = [input_of(target, 1, number) for number in range(20)]
    assert made == [input_of(target, 1, number) for number in range(20)]
    assert len({*made, *(input_of(target, 2, number) for number in range(20))}) > 20


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"exit_code": 1}, "exit code 1"),
        ({"exit_code": -6}, "exit code -6"),
        ({"result": None}, "no result was handed over"),
        ({"result": b"\x09"}, "the result is none"),
        ({"result": result(ResultCode.INTERNAL_ERROR, "x")}, "an internal error: x"),
        ({"output": f'File "{PROJECT}/x.py"'.encode()}, "the output tells of our insides"),
        ({"output": b'Traceback\n  File "/usr/lib/x.py"'}, "the output tells of our insides"),
        ({"seconds": 30.0}, "it took 30.0 s of processor time, its limit was 1 s"),
        ({"memory": 2 << 30}, "it had 2048 MiB of memory"),
    ],
)
def test_what_an_executor_must_not_do_is_a_fault(changed: dict[str, object], said: str) -> None:
    assert not list(faults_of(FINE, 1.0))
    ended = FINE._replace(**changed)  # type: ignore[arg-type]
    assert any(said in fault for fault in faults_of(ended, 1.0))


def test_runs_that_differ_are_a_fault_unless_time_was_up() -> None:
    first, other = (result(ResultCode.RETURN, None, digest) for digest in (b"a", b"b"))
    late = result(ResultCode.VM_ERROR, "timeout")
    assert not list(differences([first, first, late]))
    assert list(differences([first, late, other]))
    assert list(differences([first, result(ResultCode.VM_ERROR, "OOM")]))


def attempt(content: bytes) -> Observation:
    if content == b"dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if content == b"leaves":
        os._exit(3)
    return Observation(content.decode())


def test_an_input_that_ends_its_process_is_seen_and_the_others_go_on() -> None:
    observed = list(observe_in_children([b"a", b"dies", b"b", b"leaves", b"c"], attempt))
    assert [each.outcome for each in observed] == [
        "a",
        "the process died of SIGKILL",
        "b",
        "the process exited with 3",
        "c",
    ]
    assert [bool(each.faults) for each in observed] == [False, True, False, True, False]


def read_or_raise(content: bytes) -> tuple[str, list[str]]:
    return "read", [] if int(content) % 7 else ["a multiple of seven"]


def counting(random: Random) -> bytes:
    return str(random.randrange(1, 50)).encode()


def test_a_finding_is_kept_with_the_command_that_replays_it(tmp_path: Path) -> None:
    target = Target("sevens", "", counting, lambda: pure_tester(read_or_raise), 10)
    tally = Campaign(target, 5, 0, tmp_path / "found").run(0, 200, lambda _: None)
    assert tally.inputs == 200
    assert tally.kinds["a multiple of seven"] > 10
    assert len(tally.found_faults) == 3, "the same words are kept three times"
    for finding in tally.found_faults:
        assert int(finding.path.read_bytes()) % 7 == 0
        assert finding.path.read_bytes() == input_of(target, 5, finding.number)
        assert finding.path.with_name(finding.path.name + ".txt").read_text() == (
            "a multiple of seven\n"
        )
        assert f"scripts/fuzz sevens --replay {finding.path}" in text(summary(tally))


def test_what_does_not_stop_as_it_must_is_a_finding(tmp_path: Path) -> None:
    @contextmanager
    def stops_badly() -> Iterator[Tester]:
        yield lambda inputs: (Observation("fine") for _ in inputs)
        raise AssertionError("a process is left")

    target = Target("service", "", counting, stops_badly)
    tally = Campaign(target, 5, 0, tmp_path).run(0, 3, lambda _: None)
    assert list(tally.kinds) == ["the end: a process is left"]


def test_only_what_is_new_in_a_log_is_told() -> None:
    lines = ["Traceback (most recent call last):", '  File "x"', "ValueError: old"]
    watch = service_watch.LogWatch(lambda: "\n".join(lines) + "\n")
    assert watch.faults() == []
    lines += ["Traceback (most recent call last):", '  File "x"', "ValueError: new", "fine"]
    (fault,) = watch.faults()
    assert "ValueError: new" in fault
    assert watch.faults() == []
