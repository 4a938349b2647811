"""The rules that each run must meet, whatever was done to the service: pure functions of facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .disturbance import Disturbances, Effect
from .kinds import major
from .plans import RunPlan
from .reading import Reading
from .recordings import Recording

_CLOCK = 0.1
"""Seconds by which two measurements of the same time may differ."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that is not met: `detail` says what is so instead, `ids` for which runs."""

    rule: str
    detail: str
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RunFacts:
    """All that is known about one run id. `plan` is None when no request is known for it.

    `is_acknowledged`: a client was given its id. `is_cancelled`: a client cancelled it.
    `is_killed`: a fault killed one of its processes.
    """

    id: int
    plan: RunPlan | None
    is_acknowledged: bool
    is_cancelled: bool
    is_killed: bool
    reading: Reading | None
    recording: Recording


def check_run(run: RunFacts, disturbances: Disturbances) -> Iterator[Violation]:
    """Yield a violation for each rule that the run does not meet."""
    for rule, detail in _broken_rules(run, disturbances):
        name = f" ({run.plan.name}, {run.plan.kind.name})" if run.plan else ""
        yield Violation(rule, f"run {run.id}{name} {detail}", (run.id,))


def _broken_rules(run: RunFacts, disturbances: Disturbances) -> Iterator[tuple[str, str]]:
    yield from _beginnings(run)
    if run.reading is None:
        who = "was acknowledged" if run.is_acknowledged else "has begun"
        yield "one ending", f"{who} and has no terminal status"
        return
    yield from _result(run.recording, run.reading)
    if run.plan is not None:
        yield from _ownership(run.plan, run.reading)
        if reason := _unexplained(run, run.plan, run.reading, disturbances):
            yield "true cause", f"ended with {run.reading.ending!r}: {reason}"


def _beginnings(run: RunFacts) -> Iterator[tuple[str, str]]:
    names = run.recording.names
    if len(names) > 1:
        yield "begun once", f"has begun {len(names)} times, as {', '.join(names)}"
    others = {name for name in names if run.plan is not None and name != run.plan.name}
    if others:
        yield "one id, one run", f"is also {', '.join(sorted(others))}"
    if names and run.plan is None:
        yield "begun as asked", f"has begun as {names[0]}, whose request was never sent whole"


def _result(recording: Recording, reading: Reading) -> Iterator[tuple[str, str]]:
    for content in recording.answered[:1]:
        if reading.result != content:
            yield (
                "results are kept",
                f"was told that its result {content} is on record; its status has {reading.result}",
            )
    if reading.result is not None and reading.result not in recording.sent:
        yield "results are kept", f"has the result {reading.result}, which it never handed in"


def _ownership(plan: RunPlan, reading: Reading) -> Iterator[tuple[str, str]]:
    if reading.major != major(plan.kind):
        yield "own output", f"is of major {reading.major}, not {major(plan.kind)}"
    if reading.head and reading.head != plan.name:
        yield "own output", f"has stdout that begins with {reading.head!r}"
    if reading.head == "" and reading.ending.startswith("code"):
        yield "own output", "ended by itself and has no stdout"


def _unexplained(
    run: RunFacts, plan: RunPlan, reading: Reading, disturbances: Disturbances
) -> str | None:
    """Return why the ending cannot be true, or None when it can."""
    ending, at = reading.ending, reading.finished_at
    if ending == "deadline":
        is_over = reading.wall is not None and reading.wall >= plan.deadline - _CLOCK
        return None if is_over else f"after {reading.wall} s, with {plan.deadline:.3f} s to run"
    if ending in plan.kind.ends:
        return None
    if ending == "cancelled":
        return None if run.is_cancelled else "nobody cancelled it"
    if ending in ("signal 9", "memory"):
        return None if run.is_killed else "nobody killed it"
    if ending == "shutdown":
        is_so = disturbances.explain({Effect.SHUTS}, at, at)
        return None if is_so else "nobody stopped a supervisor then"
    if ending in ("lost", "unseen"):
        if not disturbances.explain({Effect.LOSES}, at, at):
            return "nobody killed a supervisor then"
        if (reading.result is None) != (ending == "lost"):
            return f"it has {'no' if reading.result is None else 'its'} result"
        return None
    return f"it may end with {', '.join(sorted(plan.kind.ends)) or 'nothing'}"
