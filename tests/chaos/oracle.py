"""The oracle: what clients were told, held against what is told later and against the verdict."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .disturbance import Disturbances
from .plans import RunPlan
from .reading import Reading
from .verdict import RunFacts, Violation, judge
from .witnesses import Account, Witnesses

MOST_VIOLATIONS = 100


class Oracle:
    """Keeps what was acknowledged. Safe to share between threads; knows nothing of the service."""

    def __init__(self, witnesses: Witnesses, disturbances: Disturbances) -> None:
        self.witnesses = witnesses
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

    # ------------------------------------------------------------------------ what clients did

    def count(self, what: str, times: int = 1) -> None:
        with self._lock:
            self.counts[what] += times

    def sends(self, plan: RunPlan) -> None:
        """A request for this run is about to go out, whole."""
        with self._lock:
            self._plans[plan.name] = plan
            self.counts["requests for runs"] += 1

    def acknowledged(self, plan: RunPlan, run_id: int) -> None:
        """A client was given this id for its run."""
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
        """A client is about to ask for the run's end."""
        with self._lock:
            self._cancelled.add(run_id)

    def was_ended(self, run_id: int) -> None:
        """A client was told that the run has ended."""
        with self._lock:
            self._ended.add(run_id)

    def sets_permits(self, total: int, *, for_sure: bool) -> None:
        """The service was asked for this budget, or began anew; for sure, once it has said so."""
        with self._lock:
            self._budgets = {total} if for_sure else {*self._budgets, total}

    def sees_permits(self, total: int) -> None:
        """What the budget is, while nobody changes it."""
        with self._lock:
            budgets = sorted(self._budgets)
        if total not in budgets:
            self.violated("permits stay as set", f"there are {total}, {budgets} were set last")

    def read(self, run_id: int, status: Mapping[str, Any] | None) -> Reading | None:
        """A client has read the run's status; `None` while it has none."""
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

    def violated(self, demand: str, sentence: str, *ids: int) -> None:
        with self._lock:
            if len(self.violations) < MOST_VIOLATIONS:
                self.violations.append(Violation(demand, sentence, ids))

    # -------------------------------------------------------------------------- what is asked

    def is_over(self, run_id: int) -> bool:
        """Whether a terminal status was read."""
        with self._lock:
            return run_id in self._readings

    def acknowledged_ids(self) -> list[int]:
        with self._lock:
            return sorted(self._names)

    def known_ids(self) -> list[int]:
        """Those that somebody has heard of: clients, or the executors themselves."""
        return sorted({*self.acknowledged_ids(), *self.witnesses.all()})

    def tokens(self) -> list[RunPlan]:
        """The plans whose token stands for an id."""
        with self._lock:
            return [self._plans[name] for name in self._ids if self._plans[name].token]

    def endings(self) -> Counter[str]:
        with self._lock:
            return Counter(reading.ending for reading in self._readings.values())

    def kinds(self) -> Counter[str]:
        """How many runs of each kind were acknowledged."""
        with self._lock:
            return Counter(self._plans[name].kind.name for name in self._ids)

    def give_verdict(self) -> None:
        """Judge every run that anybody has heard of."""
        accounts = self.witnesses.all()
        killed = self.disturbances.killed()
        for run_id in self.known_ids():
            told = accounts.get(run_id, Account())
            with self._lock:
                name = self._names.get(run_id, told.names[0] if told.names else "")
                facts = RunFacts(
                    id=run_id,
                    plan=self._plans.get(name),
                    is_acknowledged=run_id in self._names,
                    is_cancelled=run_id in self._cancelled,
                    is_killed=run_id in killed,
                    reading=self._readings.get(run_id),
                    account=told,
                )
            for violation in judge(facts, self.disturbances):
                self.violated(violation.demand, violation.sentence, *violation.ids)
        self._judge_tokens(accounts)

    def _judge_tokens(self, accounts: Mapping[int, Account]) -> None:
        """A token starts one run at most, whether or not its client has heard of it."""
        begun: dict[str, list[int]] = {}
        for run_id, told in accounts.items():
            for name in told.names:
                begun.setdefault(name, []).append(run_id)
        for name, ids in begun.items():
            if len(ids) > 1:
                self.violated("begun once", f"{name} has begun as runs {ids}", *ids)

    def _expect_gone(self, run_id: int) -> None:
        """Who has a status has no process any more."""
        self.expect_dead({run_id: self.witnesses.of(run_id)}, "whose run has ended")

    def expect_dead(self, accounts: Mapping[int, Account], which: str) -> None:
        """No process of these runs may live."""
        for run_id, told in accounts.items():
            if alive := [process.pid for process in told.processes if process.lives()]:
                self.violated("no process is left", f"{alive} live, {which}", run_id)


def instances(accounts: Iterable[Account]) -> set[str]:
    """The names of the stores that the runs were accepted by."""
    return {instance for told in accounts for instance in told.instances}
