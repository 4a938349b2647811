"""Looking at the books while they are in use, and saying so when something is wrong."""

from __future__ import annotations

from asyncio import Task
from collections.abc import Iterable, Mapping
from typing import Any

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol.ipc.runs import RunState

from .admission_queue import AdmissionQueue
from .reaper import Reaper
from .rules_invariants import AuditedRun, LeaseStatus, Violation, audit
from .run import Run


class InvariantChecker:
    """Holds runs, permits and processes against each other; remembers what was found last."""

    def __init__(self, desk: AdmissionQueue, reaper: Reaper, log: EventLog) -> None:
        self._desk = desk
        self._reaper = reaper
        self._log = log
        self._found: dict[str, Violation] = {}

    @property
    def sentences(self) -> list[str]:
        """What is not as it must be; nothing when all is well."""
        return [violation.sentence for violation in self._found.values()]

    def look(
        self,
        runs: Iterable[Run],
        lives: Mapping[int, Task[Any]],
        last_id: int,
        state_fault: str | None = None,
    ) -> None:
        """Look again. `lives` are the tasks that see to the ends of `runs`; `state_fault`: what is
        wrong with the state folder."""
        audited = [_audited(run, lives.get(run.id)) for run in runs]
        found = audit(audited, self._desk.snapshot(), last_id, self._reaper.pids)
        if state_fault is not None:
            found.append(Violation("state_folder", state_fault))
        self._tell({violation.rule: violation for violation in found})

    def _tell(self, found: dict[str, Violation]) -> None:
        """Log what was not so before, and what is so no more."""
        for rule, violation in found.items():
            if rule not in self._found:
                self._log.error("audit_violation", rule=rule, sentence=violation.sentence)
        for rule, violation in self._found.items():
            if rule not in found:
                self._log.error("audit_violation_over", rule=rule, sentence=violation.sentence)
        self._found = found


def _audited(run: Run, life: Task[Any] | None) -> AuditedRun:
    return AuditedRun(
        id=run.id,
        state=run.state,
        standing=_standing(run),
        cost=run.cost,
        pid=None if run.child is None or run.child.is_over else run.child.pid,
        has_life=life is not None and not life.done(),
    )


def _standing(run: Run) -> LeaseStatus:
    if run.child is not None:
        return LeaseStatus.LEAVES if run.child.is_over else LeaseStatus.HOLDS
    # A start takes no time: without a child it has failed, and is being undone.
    if run.cause is not None or run.state in (RunState.STARTING, RunState.FINISHED):
        return LeaseStatus.LEAVES
    return LeaseStatus.HOLDS if run.granted.done() else LeaseStatus.WAITS
