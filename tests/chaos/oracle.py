"""The oracle: keeps what clients were told, compares it with later answers, and checks runs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .disturbance import Disturbances
from .plans import RunPlan
from .reading import Reading
from .recordings import Recording, Recordings
from .run_rules import RunFacts, Violation, check_run

MOST_VIOLATIONS = 100


class Oracle:
    """Keeps what was acknowledged; knows nothing about the service's inside.

    Safe to share between threads.
    """

    def __init__(self, recordings: Recordings, disturbances: Disturbances) -> None:
        self.recordings = recordings
        self.disturbances = disturbances
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._plans: dict[str, RunPlan] = {}
        self._names: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        self._readings: dict[int, Reading] = {}
        self._budgets: set[int] = set()
        self._cancelled: set[int] = set()
        self._ended: set[int] = set()

    # -------------------------------------------------------------------------- what clients did

    def count(self, what: str, times: int = 1) -> None:
        """Count an event for the report."""
        with self._lock:
            self.counts[what] += times

    def sends(self, plan: RunPlan) -> None:
        """Record that a complete request for this run is about to be sent."""
        with self._lock:
            self._plans[plan.name] = plan
            self.counts["requests for runs"] += 1

    def acknowledged(self, plan: RunPlan, run_id: int) -> None:
        """Record that a client was given this id for its run."""
        with self._lock:
            name = self._names.setdefault(run_id, plan.name)
            known = self._ids.setdefault(plan.name, run_id)
        if name != plan.name:
            self.violated("one id, one run", f"id {run_id} is {name} and {plan.name}", run_id)
        if known != run_id:
            self.violated(
                "one token, one id",
                f"{plan.token or plan.name} meant run {known}, and means {run_id} now",
                known,
                run_id,
            )

    def cancels(self, run_id: int) -> None:
        """Record that a client is about to cancel the run."""
        with self._lock:
            self._cancelled.add(run_id)

    def was_ended(self, run_id: int) -> None:
        """Record that a client was told that the run has ended."""
        with self._lock:
            self._ended.add(run_id)

    def sets_permits(self, total: int, *, for_sure: bool) -> None:
        """Record that the service was asked for so many permits, or was started anew with them.

        `for_sure`: the service has acknowledged it.
        """
        with self._lock:
            self._budgets = {total} if for_sure else {*self._budgets, total}

    def sees_permits(self, total: int) -> None:
        """Check the number of permits that the service shows while nobody changes it."""
        with self._lock:
            budgets = sorted(self._budgets)
        if total not in budgets:
            self.violated("permits stay as set", f"there are {total}, {budgets} were set last")

    def read(self, run_id: int, status: Mapping[str, Any] | None) -> Reading | None:
        """Record and check the run's status as a client has read it; None while it has none."""
        reading = None if status is None else Reading.of(status)
        with self._lock:
            before = self._readings.get(run_id)
            if reading is not None:
                self._readings.setdefault(run_id, reading)
            is_late = run_id in self._names and run_id in self._ended
            self.counts["readings"] += 1
        if before is not None and (reading is None or reading.digest != before.digest):
            self.violated("stable status", f"run {run_id} was {before}, and is {reading}", run_id)
        if is_late and reading is None:
            self.violated("ended is ended", f"run {run_id} was ended and has no status", run_id)
        if before is None and reading is not None:
            self._expect_gone(run_id)
        return reading

    def violated(self, rule: str, detail: str, *ids: int) -> None:
        """Record a violation of a rule by the runs `ids`."""
        with self._lock:
            if len(self.violations) < MOST_VIOLATIONS:
                self.violations.append(Violation(rule, detail, ids))

    # ------------------------------------------------------------------------------- what is known

    def is_over(self, run_id: int) -> bool:
        """Return whether a terminal status was read."""
        with self._lock:
            return run_id in self._readings

    def acknowledged_ids(self) -> list[int]:
        """Return the ids that clients were given."""
        with self._lock:
            return sorted(self._names)

    def known_ids(self) -> list[int]:
        """Return the ids that clients or executors know."""
        return sorted({*self.acknowledged_ids(), *self.recordings.all()})

    def tokens(self) -> list[RunPlan]:
        """Return the plans with a token for which a client was given an id."""
        with self._lock:
            return [self._plans[name] for name in self._ids if self._plans[name].token]

    def endings(self) -> Counter[str]:
        """Count the runs by how they ended."""
        with self._lock:
            return Counter(reading.ending for reading in self._readings.values())

    def kinds(self) -> Counter[str]:
        """Count the acknowledged runs by kind."""
        with self._lock:
            return Counter(self._plans[name].kind.name for name in self._ids)

    def check_runs(self) -> None:
        """Check every run that a client or an executor knows."""
        recordings = self.recordings.all()
        killed = self.disturbances.killed()
        for run_id in self.known_ids():
            recording = recordings.get(run_id, Recording())
            with self._lock:
                name = self._names.get(run_id, recording.names[0] if recording.names else "")
                facts = RunFacts(
                    id=run_id,
                    plan=self._plans.get(name),
                    is_acknowledged=run_id in self._names,
                    is_cancelled=run_id in self._cancelled,
                    is_killed=run_id in killed,
                    reading=self._readings.get(run_id),
                    recording=recording,
                )
            for violation in check_run(facts, self.disturbances):
                self.violated(violation.rule, violation.detail, *violation.ids)
        self._check_tokens(recordings)

    def _check_tokens(self, recordings: Mapping[int, Recording]) -> None:
        """Check that a token has started one run at most, whether or not its client knows it."""
        begun: dict[str, list[int]] = {}
        for run_id, recording in recordings.items():
            for name in recording.names:
                begun.setdefault(name, []).append(run_id)
        for name, ids in begun.items():
            if len(ids) > 1:
                self.violated("begun once", f"{name} has begun as runs {ids}", *ids)

    def _expect_gone(self, run_id: int) -> None:
        """Check that a run with a terminal status has no process any more."""
        self.expect_dead({run_id: self.recordings.of(run_id)}, "whose run has ended")

    def expect_dead(self, recordings: Mapping[int, Recording], which: str) -> None:
        """Check that no process of these runs is alive."""
        for run_id, recording in recordings.items():
            if alive := [process.pid for process in recording.processes if process.lives()]:
                self.violated("no process is left", f"{alive} live, {which}", run_id)


def instances(recordings: Iterable[Recording]) -> set[str]:
    """Return the instance names of the stores that accepted the runs."""
    return {instance for recording in recordings for instance in recording.instances}
