"""The check of runs, permits and processes against each other, and its log events."""

from __future__ import annotations

from genvm_manager.base.logging.event_log import EventLog

from .reaper import Reaper
from .rules_invariants import CheckedRun, Violation, violations
from .run import Run
from .run_table import RunTable


class InvariantChecker:
    """Checks the invariants and remembers what was violated at the last check. Changes nothing."""

    def __init__(self, runs: RunTable, reaper: Reaper, log: EventLog) -> None:
        self._runs = runs
        self._reaper = reaper
        self._log = log
        self._found: dict[str, Violation] = {}

    @property
    def sentences(self) -> list[str]:
        """One sentence for each violated invariant; empty when all hold."""
        return [violation.sentence for violation in self._found.values()]

    def check(self, state_fault: str | None = None) -> None:
        """Check again. `state_fault` says what is wrong with the state folder, if anything."""
        found = violations(
            [_checked(run) for run in self._runs],
            self._runs.queue.snapshot(),
            self._runs.last_id,
            self._reaper.pids,
        )
        if state_fault is not None:
            found.append(Violation("state_folder", state_fault))
        self._report({violation.rule: violation for violation in found})

    def _report(self, found: dict[str, Violation]) -> None:
        """Log the violations that are new, and those that are over."""
        for rule, violation in found.items():
            if rule not in self._found:
                self._log.error("audit_violation", rule=rule, sentence=violation.sentence)
        for rule, violation in self._found.items():
            if rule not in found:
                self._log.error("audit_violation_over", rule=rule, sentence=violation.sentence)
        self._found = found


def _checked(run: Run) -> CheckedRun:
    return CheckedRun(run.id, run.state, run.cost, run.pid, run.has_task)
