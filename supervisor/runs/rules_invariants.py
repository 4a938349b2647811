"""What must always hold between runs, permits and processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .rules_permits import PermitSnapshot
from .rules_states import LEASES, LeaseStatus, State

MOST_TOLD = 20
"""Violations that are reported one by one; the others are only counted."""


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """A run under way. `pid`: its process while that lives. `has_task`: a task sees to its end."""

    id: int
    state: State
    cost: int
    pid: int | None
    has_task: bool


@dataclass(frozen=True, slots=True)
class Violation:
    """A violated invariant. `rule` names it and the run, without the figures of the `sentence`."""

    rule: str
    sentence: str


def violations(
    runs: Sequence[CheckedRun], snapshot: PermitSnapshot, last_id: int, watched: Iterable[int]
) -> list[Violation]:
    """Return what is violated: at most `MOST_TOLD`, and one more that counts the others.

    `runs` are in the order of their arrival; `last_id` is the id given last; `watched` are the pids
    of the executors that the reaper waits for.
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
    """Check the pool alone."""
    leased = sum(snapshot.leases.values())
    if leased != snapshot.in_use:
        yield Violation(
            "lease_sum",
            f"the leases add up to {leased} permits, {snapshot.in_use} count as in use",
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


def _holders(runs: Sequence[CheckedRun], snapshot: PermitSnapshot) -> Iterator[Violation]:
    """Find the holders that only the pool knows, and those that wait although they hold."""
    known = {run.id for run in runs}
    for run_id in sorted(snapshot.leases.keys() - known):
        yield Violation(
            f"unknown_holds {run_id}",
            f"run {run_id} is not under way and holds {snapshot.leases[run_id]} permits",
        )
    for run_id in sorted(snapshot.queue.keys() - known):
        yield Violation(
            f"unknown_waits {run_id}", f"run {run_id} is not under way and waits for permits"
        )
    for run_id in sorted(snapshot.queue.keys() & snapshot.leases.keys()):
        yield Violation(f"both {run_id}", f"run {run_id} waits for permits and holds some")


def _ids(runs: Sequence[CheckedRun], last_id: int) -> Iterator[Violation]:
    before = 0
    for run in runs:
        if run.id <= before:
            yield Violation(f"id_order {run.id}", f"run {run.id} came after run {before}")
        before = run.id
    if before > last_id:
        yield Violation("last_id", f"run {before} is under way, the last id given is {last_id}")


def _processes(runs: Sequence[CheckedRun], watched: Iterable[int]) -> Iterator[Violation]:
    owners = Counter(run.pid for run in runs if run.pid is not None)
    for pid, count in owners.items():
        if count > 1:
            yield Violation(f"shared_process {pid}", f"process {pid} belongs to {count} runs")
    for pid in watched:
        if pid not in owners:
            yield Violation(f"unowned_process {pid}", f"process {pid} belongs to no run under way")


def _run(run: CheckedRun, snapshot: PermitSnapshot) -> Iterator[Violation]:
    """Check that one run's permits, process and task are those that its state demands."""
    lease, held = LEASES[run.state], snapshot.leases.get(run.id)
    waits = run.id in snapshot.queue
    if not run.has_task:
        yield Violation(f"no_task {run.id}", f"nothing sees to the end of run {run.id}")
    if lease is LeaseStatus.HOLDS and held != run.cost:
        yield Violation(
            f"unpaid {run.id}", f"run {run.id} costs {run.cost} permits and holds {held or 0}"
        )
    if lease is LeaseStatus.WAITS and not waits:
        yield Violation(f"not_queued {run.id}", f"run {run.id} waits and is not in the queue")
    if lease is not LeaseStatus.WAITS and waits:
        yield Violation(f"overdue {run.id}", f"run {run.id} is {run.state} and waits for permits")
    if lease is not LeaseStatus.HOLDS and held is not None:
        yield Violation(f"kept {run.id}", f"run {run.id} is {run.state} and holds {held} permits")
    if run.pid is not None and run.state is not State.RUNNING:
        yield Violation(f"early {run.id}", f"run {run.id} is {run.state} and has a process")
    if run.pid is None and run.state is State.RUNNING:
        yield Violation(f"bodiless {run.id}", f"run {run.id} is running and has no process")
