"""The oracle of `scripts/chaos`: each rule's violation is found, and true facts violate no rule."""

from __future__ import annotations

import base64
import os
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.disturbance import Disturbance, Disturbances, Effect
from tests.chaos.faults import FAULTS, GENTLE, RESTART
from tests.chaos.kinds import KINDS, Kind, major, manifest
from tests.chaos.oracle import Oracle
from tests.chaos.plans import RunPlan, fault_plan, run_plan
from tests.chaos.reading import Reading
from tests.chaos.recordings import Recording, Recordings, ResultDigest, process
from tests.chaos.run_rules import RunFacts, check_run

SEED = 1
NOW = 1_000.0
RESULT = b"a result"
CONTENT = ResultDigest(len(RESULT), zlib.crc32(RESULT))


def kind(name: str) -> Kind:
    return next(each for each in KINDS if each.name == name)


def plan_of(name: str = "quick") -> RunPlan:
    return replace(run_plan(SEED, 1, 1), kind=kind(name), deadline=2.0, token="token 1-1")


def status(plan: RunPlan, **fields: Any) -> dict[str, Any]:
    """As `GET /genvm/<id>` gives it for a run of this plan that ended by itself."""
    known = {
        "stdout": f"{plan.name}\n",
        "stdout_dropped_bytes": 0,
        "consumed_result": base64.b64encode(RESULT).decode(),
        "version_major": major(plan.kind),
        "cause": "exited",
        "exit_code": 0,
        "signal": None,
        "wall_ms": 100,
        "finished_at": round(NOW * 1000),
    }
    return known | fields


def recording_of(plan: RunPlan, **fields: Any) -> Recording:
    recording = Recording(names=(plan.name,), sent=(CONTENT,), answered=(CONTENT,))
    return replace(recording, **fields)


def facts(name: str = "quick", ended: dict[str, Any] | None = None, **fields: Any) -> RunFacts:
    """Of a run that is as it must be, but for what is given."""
    plan = plan_of(name)
    run = RunFacts(
        id=7,
        plan=plan,
        is_acknowledged=True,
        is_cancelled=False,
        is_killed=False,
        reading=Reading.of(status(plan, **(ended or {}))),
        recording=recording_of(plan),
    )
    return replace(run, **fields)


def rules(run: RunFacts, *disturbances: Disturbance) -> list[str]:
    known = Disturbances()
    known.extend(disturbances)
    return [violation.rule for violation in check_run(run, known)]


def disturbance(*effects: Effect, at: float = NOW) -> Disturbance:
    return Disturbance("one", frozenset(effects), at - 1, at + 1)


def test_a_run_as_it_must_be_is_believed() -> None:
    assert rules(facts()) == []


def test_who_has_begun_or_was_acknowledged_has_a_status() -> None:
    assert rules(facts(reading=None)) == ["one ending"]
    assert rules(facts(reading=None, is_acknowledged=False)) == ["one ending"]


def test_half_a_request_begins_nothing() -> None:
    assert rules(facts(plan=None)) == ["begun as asked"]


def test_a_result_that_was_answered_is_kept() -> None:
    other = base64.b64encode(b"another").decode()
    assert rules(facts(ended={"consumed_result": None})) == ["results are kept"]
    assert set(rules(facts(ended={"consumed_result": other}))) == {"results are kept"}


def test_a_result_that_was_not_answered_may_be_kept_or_not() -> None:
    unanswered = recording_of(plan_of(), answered=())
    for result in (None, base64.b64encode(RESULT).decode()):
        run = facts(ended={"consumed_result": result}, recording=unanswered)
        assert rules(run) == []
    nothing_sent = recording_of(plan_of(), answered=(), sent=())
    assert rules(facts(recording=nothing_sent)) == ["results are kept"]


def test_an_id_begins_once_and_as_what_its_client_asked_for() -> None:
    plan = plan_of()
    twice = recording_of(plan, names=(plan.name, plan.name))
    assert rules(facts(recording=twice)) == ["begun once"]
    assert rules(facts(recording=recording_of(plan, names=("9-9",)))) == ["one id, one run"]


def test_output_is_the_runs_own() -> None:
    assert rules(facts(ended={"stdout": "9-9\n"})) == ["own output"]
    assert rules(facts(ended={"stdout": ""})) == ["own output"]
    assert rules(facts(ended={"version_major": 99})) == ["own output"]
    assert rules(facts(ended={"stdout": "ppp", "stdout_dropped_bytes": 9})) == []


@pytest.mark.parametrize(
    ("ended", "explained_by"),
    [
        ({"exit_code": 5}, None),
        ({"exit_code": None, "signal": 11}, None),
        ({"exit_code": None, "signal": 9}, {"is_killed": True}),
        ({"cause": "memory"}, {"is_killed": True}),
        ({"cause": "cancelled"}, {"is_cancelled": True}),
        ({"cause": "deadline", "wall_ms": 1_800}, None),
    ],
)
def test_a_cause_has_its_reason(ended: dict[str, Any], explained_by: dict[str, Any] | None) -> None:
    assert rules(facts(ended=ended)) == ["true cause"]
    if explained_by is not None:
        assert rules(facts(ended=ended, **explained_by)) == []


def test_a_deadline_is_over_when_it_is_said_to_be() -> None:
    ended = {"cause": "deadline", "wall_ms": 2_010}
    assert rules(facts(ended=ended)) == []
    assert rules(facts("deaf", ended=ended)) == []


@pytest.mark.parametrize(("cause", "effect"), [("shutdown", Effect.SHUTS), ("lost", Effect.LOSES)])
def test_a_supervisor_ended_when_it_is_said_to_have(cause: str, effect: Effect) -> None:
    run = facts(
        ended={"cause": cause, "consumed_result": None},
        recording=recording_of(plan_of(), answered=()),
    )
    assert rules(run) == ["true cause"]
    assert rules(run, disturbance(effect, at=NOW - 60)) == ["true cause"]
    assert rules(run, disturbance(Effect.BREAKS)) == ["true cause"]
    assert rules(run, disturbance(effect)) == []


def test_an_end_that_nobody_saw_has_a_result_and_a_death() -> None:
    unseen = {"exit_code": None}
    loses = disturbance(Effect.LOSES)
    assert rules(facts(ended=unseen)) == ["true cause"]
    assert rules(facts(ended=unseen), loses) == []
    without = facts(
        ended=unseen | {"consumed_result": None}, recording=recording_of(plan_of(), answered=())
    )
    assert rules(without, loses) == ["true cause"]
    assert rules(facts(ended={"cause": "lost"}), loses) == ["true cause"]


# ------------------------------------------------------------------------------ what clients tell


@pytest.fixture
def oracle(tmp_path: Path) -> Oracle:
    return Oracle(Recordings(tmp_path), Disturbances())


def found(oracle: Oracle) -> list[str]:
    return [violation.rule for violation in oracle.violations]


def acknowledged(oracle: Oracle, number: int, run_id: int) -> RunPlan:
    plan = replace(run_plan(SEED, 1, number), token=f"token {number}")
    oracle.sends(plan)
    oracle.acknowledged(plan, run_id)
    return plan


def test_ids_and_tokens_stay_together(oracle: Oracle) -> None:
    plan = acknowledged(oracle, 1, 5)
    oracle.acknowledged(plan, 5)
    acknowledged(oracle, 2, 6)
    assert found(oracle) == []
    oracle.acknowledged(plan, 7)
    assert found(oracle) == ["one token, one id"]
    acknowledged(oracle, 3, 6)
    assert found(oracle)[1:] == ["one id, one run"]


def test_a_status_stays_as_it_is(oracle: Oracle) -> None:
    plan = acknowledged(oracle, 1, 5)
    oracle.read(5, None)
    oracle.read(5, status(plan))
    oracle.read(5, status(plan))
    assert found(oracle) == []
    oracle.read(5, None)
    oracle.read(5, status(plan, wall_ms=101))
    assert found(oracle) == ["stable status", "stable status"]


def test_a_run_that_was_ended_has_a_status(oracle: Oracle) -> None:
    plan = acknowledged(oracle, 1, 5)
    oracle.was_ended(4)
    oracle.read(4, None)
    oracle.was_ended(5)
    oracle.read(5, status(plan))
    assert found(oracle) == []
    acknowledged(oracle, 2, 6)
    oracle.was_ended(6)
    oracle.read(6, None)
    assert found(oracle) == ["ended is ended"]


def test_a_run_that_is_over_has_no_process(oracle: Oracle, tmp_path: Path) -> None:
    own = process(os.getpid())
    assert own is not None and own.lives()
    plan = acknowledged(oracle, 1, 5)
    (tmp_path / "5").write_text(f"begun {plan.name} i {own.pid} {own.ticks + 1}\n")
    oracle.read(5, status(plan))
    assert found(oracle) == []
    acknowledged(oracle, 2, 6)
    (tmp_path / "6").write_text(f"begun {plan.name} i 1 1\nforked {own.pid} {own.ticks}\n")
    oracle.read(6, status(plan))
    assert found(oracle) == ["no process is left"]


def test_every_run_that_has_begun_is_checked(oracle: Oracle, tmp_path: Path) -> None:
    plan = replace(plan_of(), name="1-2", token="token 1-2")
    content = f"{CONTENT.length} {CONTENT.crc}"
    lines = f"begun {plan.name} i 1 1\nsends {content}\nanswered {content}\n"
    (tmp_path / "8").write_text(lines)
    oracle.sends(plan)
    assert oracle.known_ids() == [8]
    oracle.check_runs()
    assert found(oracle) == ["one ending"]
    oracle.read(8, status(plan))
    oracle.violations.clear()
    oracle.check_runs()
    assert found(oracle) == []
    (tmp_path / "9").write_text(lines)
    oracle.read(9, status(plan))
    oracle.check_runs()
    assert found(oracle) == ["begun once"]


def test_permits_are_what_was_set_last(oracle: Oracle) -> None:
    oracle.sets_permits(6, for_sure=True)
    oracle.sets_permits(3, for_sure=False)
    for total in (3, 6):
        oracle.sees_permits(total)
    oracle.sets_permits(3, for_sure=True)
    oracle.sees_permits(3)
    assert found(oracle) == []
    oracle.sees_permits(6)
    assert found(oracle) == ["permits stay as set"]


# ------------------------------------------------------------------------------------- decisions


def test_decisions_are_a_function_of_the_seed() -> None:
    def decisions(seed: int) -> list[object]:
        names, weights = [fault.name for fault in FAULTS], [fault.weight for fault in FAULTS]
        runs = [run_plan(seed, client, number) for client in (1, 2) for number in range(50)]
        return [*runs, *(fault_plan(seed, number, names, weights, 1.0) for number in range(50))]

    assert decisions(1) == decisions(1)
    assert decisions(1) != decisions(2)
    assert len({plan.name for plan in decisions(1)[:100]}) == 100  # type: ignore[attr-defined]


@pytest.mark.parametrize("chosen", KINDS, ids=lambda each: each.name)
def test_a_kind_has_a_program_and_an_end(chosen: Kind, tmp_path: Path) -> None:
    path = Path(__file__).parents[2] / "children" / f"{chosen.program}.py"
    assert path.exists() == bool(chosen.ends) == (chosen.program is not None)
    assert f"v{major(chosen)}.0.0" in manifest(tmp_path)


def test_gentle_faults_leave_the_supervisor_alive() -> None:
    assert RESTART not in GENTLE
    assert {fault.name for fault in GENTLE} == {
        "executor", "group", "frozen supervisor", "reload", "reload of the master", "worker",
        "master",
    }  # fmt: skip
