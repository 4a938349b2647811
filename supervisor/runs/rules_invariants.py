"""What must always be true of runs and permits, held against what is on the books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from genvm_manager.protocol.ipc.runs import RunState

from .rules_permits import PermitSnapshot

MOST_TOLD = 20
"""Violations that are told one by one; the rest is counted."""


class LeaseStatus(Enum):
    """What a run has of the permits, as its own life sees it.

    Who leaves has permits, waits for them or does neither: giving back takes several steps.
    """

    WAITS = "waits"
    HOLDS = "holds"
    LEAVES = "leaves"


@dataclass(frozen=True, slots=True)
class AuditedRun:
    """A run under way. `pid`: its process while that lives. `has_life`: a task sees to its end."""

    id: int
    state: RunState
    standing: LeaseStatus
    cost: int
    pid: int | None
    has_life: bool


@dataclass(frozen=True, slots=True)
class Violation:
    """`rule` names what is violated and by whom, whatever the figures in the `sentence` are."""

    rule: str
    sentence: str


def audit(
    runs: Sequence[AuditedRun], snapshot: PermitSnapshot, last_id: int, watched: Iterable[int]
) -> list[Violation]:
    """What is not as it must be, at most `MOST_TOLD` and one more that counts the rest.

    `runs` in the order in which they came; `last_id` was given last; `watched` are the pids of the
    processes that somebody waits for on behalf of runs.
    """
    found = [
        *_budget(snapshot),
        *_holders(runs, snapshot),
        *_ids(runs, last_id),
        *_processes(runs, watched),
        *(each for run in runs for each in _run(run, snapshot)),
    ]
    told, rest = found[:MOST_TOLD], len(found) - MOST_TOLD
    if rest > 0:
        told.append(Violation("more", f"and {rest} more"))
    return told


def _budget(snapshot: PermitSnapshot) -> Iterator[Violation]:
    """The pool alone."""
    leased = sum(snapshot.leases.values())
    if leased != snapshot.in_use:
        yield Violation(
            "lease_sum",
            f"the leases are {leased} permits in sum, {snapshot.in_use} count as in use",
        )
    if leased > snapshot.ceiling:
        yield Violation(
            "over_commitment",
            f"{leased} permits are leased, no more than {snapshot.ceiling} may be",
        )
    if snapshot.queue:
        head, cost = next(iter(snapshot.queue.items()))
        if cost <= (free := snapshot.total - snapshot.in_use):
            yield Violation(
                "head_waits", f"run {head} is next and waits for {cost} permits, {free} are free"
            )


def _holders(runs: Sequence[AuditedRun], snapshot: PermitSnapshot) -> Iterator[Violation]:
    """Those whom the pool knows, and nobody else does."""
    known = {run.id for run in runs}
    for run_id in sorted(snapshot.leases.keys() - known):
        yield Violation(
            f"stranger_holds {run_id}",
            f"run {run_id} is not under way and holds {snapshot.leases[run_id]} permits",
        )
    for run_id in sorted(snapshot.queue.keys() - known):
        yield Violation(
            f"stranger_waits {run_id}", f"run {run_id} is not under way and waits for permits"
        )
    for run_id in sorted(snapshot.queue.keys() & snapshot.leases.keys()):
        yield Violation(f"both {run_id}", f"run {run_id} waits for permits and holds some")


def _ids(runs: Sequence[AuditedRun], last_id: int) -> Iterator[Violation]:
    before = 0
    for run in runs:
        if run.id <= before:
            yield Violation(f"id_order {run.id}", f"run {run.id} came after run {before}")
        before = run.id
    if before > last_id:
        yield Violation("last_id", f"run {before} is under way, the last id given is {last_id}")


def _processes(runs: Sequence[AuditedRun], watched: Iterable[int]) -> Iterator[Violation]:
    owners = Counter(run.pid for run in runs if run.pid is not None)
    for pid, count in owners.items():
        if count > 1:
            yield Violation(f"shared_process {pid}", f"process {pid} belongs to {count} runs")
    for pid in watched:
        if pid not in owners:
            yield Violation(f"unowned_process {pid}", f"process {pid} belongs to no run under way")


def _run(run: AuditedRun, snapshot: PermitSnapshot) -> Iterator[Violation]:
    """One run: its state, its permits and its process fit together, and somebody sees to it."""
    held = snapshot.leases.get(run.id)
    waits = run.id in snapshot.queue
    if not run.has_life:
        yield Violation(f"no_life {run.id}", f"nothing sees to the end of run {run.id}")
    if run.standing is LeaseStatus.HOLDS and held != run.cost:
        yield Violation(
            f"unpaid {run.id}", f"run {run.id} costs {run.cost} permits and holds {held or 0}"
        )
    if run.standing is LeaseStatus.WAITS and not waits:
        yield Violation(f"not_queued {run.id}", f"run {run.id} waits and is not in the queue")
    if waits and run.state is not RunState.QUEUED:
        yield Violation(f"overdue {run.id}", f"run {run.id} is {run.state} and waits for permits")
    if held is not None and run.state is RunState.FINISHED:
        yield Violation(f"kept {run.id}", f"run {run.id} is finished and holds {held} permits")
    if run.pid is not None and run.state is not RunState.RUNNING:
        yield Violation(f"early {run.id}", f"run {run.id} is {run.state} and has a process")
    if run.pid is None and run.state is RunState.RUNNING and run.standing is LeaseStatus.HOLDS:
        yield Violation(f"bodiless {run.id}", f"run {run.id} is running and has no process")
