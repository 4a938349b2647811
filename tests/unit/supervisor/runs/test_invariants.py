"""The invariants: nothing is reported while they hold, and each one is when it is violated."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import msgspec
import pytest

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.settings.config import PermitCosts
from genvm_manager.protocol.http_api import StatusReply, WrittenStatus
from genvm_manager.protocol.ipc.modules import ModuleKind, ModuleState, ModuleStatus
from genvm_manager.protocol.ipc.status import Permits, Status, pack_executions
from genvm_manager.supervisor.cgroups.cgroup_manager import CgroupManager
from genvm_manager.supervisor.runs.admission_queue import AdmissionQueue
from genvm_manager.supervisor.runs.invariant_checker import InvariantChecker
from genvm_manager.supervisor.runs.reaper import Reaper
from genvm_manager.supervisor.runs.rules_invariants import MOST_TOLD, CheckedRun, violations
from genvm_manager.supervisor.runs.rules_permits import PermitPool, PermitSnapshot
from genvm_manager.supervisor.runs.rules_rate_limit import RateLimiter
from genvm_manager.supervisor.runs.rules_states import State
from genvm_manager.supervisor.runs.run import Run
from genvm_manager.supervisor.runs.run_table import RunTable
from genvm_manager.supervisor.settings.rules_manifest import Executor
from genvm_manager.supervisor.telemetry.version import StatusVersion
from tests.support.supervisor import start_command

RUNNING = CheckedRun(3, State.RUNNING, 1, pid=33, has_task=True)
DEAR = CheckedRun(4, State.STARTING, 2, pid=None, has_task=True)
ENDING = CheckedRun(5, State.ENDING, 1, pid=None, has_task=True)
WAITING = CheckedRun(7, State.QUEUED, 2, pid=None, has_task=True)
RUNS = [RUNNING, DEAR, ENDING, WAITING]
SNAPSHOT = PermitSnapshot(total=5, in_use=4, ceiling=5, leases={3: 1, 4: 2, 5: 1}, queue={7: 2})
LAST_ID = 7


def sentences(
    runs: list[CheckedRun] = RUNS,
    snapshot: PermitSnapshot = SNAPSHOT,
    last_id: int = LAST_ID,
    watched: int = 33,
) -> list[str]:
    return [each.sentence for each in violations(runs, snapshot, last_id, [watched])]


def with_run(changed: CheckedRun) -> list[CheckedRun]:
    return [changed if run.id == changed.id else run for run in RUNS]


def test_nothing_is_said_when_all_is_well() -> None:
    assert sentences() == []
    assert violations([], PermitSnapshot(4, 0, 4, {}, {}), 0, []) == []


@pytest.mark.parametrize(
    ("snapshot", "said"),
    [
        (
            replace(SNAPSHOT, in_use=3, queue={}),
            "the leases add up to 4 permits, 3 count as in use",
        ),
        (replace(SNAPSHOT, total=3, ceiling=3), "4 permits are leased, no more than 3 may be"),
        (replace(SNAPSHOT, total=6), "run 7 is next and waits for 2 permits, 2 are free"),
        (
            replace(SNAPSHOT, leases={**SNAPSHOT.leases, 9: 1}, in_use=5),
            "run 9 is not under way and holds 1 permits",
        ),
        (
            replace(SNAPSHOT, queue={**SNAPSHOT.queue, 9: 1}),
            "run 9 is not under way and waits for permits",
        ),
        (
            replace(SNAPSHOT, queue={**SNAPSHOT.queue, 5: 1}),
            "run 5 is ending and waits for permits",
        ),
        (
            replace(SNAPSHOT, leases={**SNAPSHOT.leases, 7: 1}, in_use=5),
            "run 7 waits for permits and holds some",
        ),
        (
            replace(SNAPSHOT, leases={**SNAPSHOT.leases, 7: 1}, in_use=5, queue={}),
            "run 7 is queued and holds 1 permits",
        ),
        (
            replace(SNAPSHOT, leases={4: 2, 5: 1}, in_use=3, total=4, ceiling=4),
            "run 3 costs 1 permits and holds 0",
        ),
        (
            replace(SNAPSHOT, leases={3: 1, 4: 1, 5: 1}, in_use=3, total=4, ceiling=4),
            "run 4 costs 2 permits and holds 1",
        ),
        (replace(SNAPSHOT, queue={}), "run 7 waits and is not in the queue"),
    ],
)
def test_permits_that_do_not_add_up(snapshot: PermitSnapshot, said: str) -> None:
    assert said in sentences(snapshot=snapshot)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (replace(RUNNING, has_task=False), "nothing sees to the end of run 3"),
        (replace(WAITING, pid=77), "run 7 is queued and has a process"),
        (replace(RUNNING, pid=None), "run 3 is running and has no process"),
        (replace(RUNNING, state=State.FINISHED), "run 3 is finished and holds 1 permits"),
        (replace(RUNNING, state=State.WITHDRAWN), "run 3 is withdrawn and holds 1 permits"),
        (replace(RUNNING, state=State.ACCEPTED), "run 3 is accepted and holds 1 permits"),
        (replace(ENDING, pid=55), "run 5 is ending and has a process"),
        (replace(WAITING, state=State.STARTING), "run 7 is starting and waits for permits"),
        (replace(ENDING, pid=33), "process 33 belongs to 2 runs"),
    ],
)
def test_runs_that_do_not_fit(changed: CheckedRun, said: str) -> None:
    assert said in sentences(with_run(changed))


def test_ids_go_up() -> None:
    assert sentences([*RUNS[::-1]])[0] == "run 5 came after run 7"
    assert sentences([RUNNING, RUNNING, *RUNS[1:]])[0] == "run 3 came after run 3"
    assert sentences(last_id=6) == ["run 7 is under way, the last id given is 6"]


def test_a_process_that_belongs_to_no_run() -> None:
    assert sentences(watched=34) == ["process 34 belongs to no run under way"]


def test_after_a_lowering_more_may_be_in_use() -> None:
    assert sentences(snapshot=replace(SNAPSHOT, total=2, ceiling=4)) == []


def test_no_more_is_told_than_can_be_read() -> None:
    snapshot = replace(SNAPSHOT, queue={**SNAPSHOT.queue, **dict.fromkeys(range(100, 200), 1)})
    told = sentences(snapshot=snapshot)
    assert len(told) == MOST_TOLD + 1
    assert told[-1] == "and 80 more"


class Checked:
    """A run, the table it is in, and a checker that writes into a list."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.pool = PermitPool(2, 10)
        queue = AdmissionQueue(self.pool, PermitCosts(total=2), RateLimiter(10, 0.0))
        logger = logging.Logger("invariants")
        logger.addHandler(_Lines(self.lines))
        log = EventLog(logger)
        self.runs = RunTable(queue, 0, StatusVersion(), log)
        reaper = Reaper(CgroupManager((), 0, log), log)
        self.checker = InvariantChecker(self.runs, reaper, log)
        executor = Executor("v0.0.0", (0, 0, 0), 0.0, ("/bin/true",))
        self.run = Run(self.runs.next_id(), start_command("quick"), executor, cost=1)
        self.run.acceptor = asyncio.current_task()

    def check(self) -> list[str]:
        self.checker.check()
        return self.checker.sentences


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        fields = record.__dict__["fields"]
        self._lines.append(f"{record.levelname} {record.getMessage()} {fields['rule']}")


def test_a_violation_is_logged_when_it_comes_and_when_it_goes() -> None:
    async def watch() -> list[str]:
        checked = Checked()
        checked.runs.add(checked.run)
        assert checked.check() == []
        checked.pool.enqueue(99, 1)
        checked.pool.grant()
        assert checked.check() == ["run 99 is not under way and holds 1 permits"]
        checked.pool.release(99)
        checked.pool.enqueue(99, 2)
        assert checked.check() == ["run 99 is not under way and waits for permits"]
        assert checked.check() == ["run 99 is not under way and waits for permits"]
        checked.pool.release(99)
        assert checked.check() == []
        return checked.lines

    assert asyncio.run(watch()) == [
        "ERROR audit_violation unknown_holds 99",
        "ERROR audit_violation unknown_waits 99",
        "ERROR audit_violation_over unknown_holds 99",
        "ERROR audit_violation_over unknown_waits 99",
    ]


def test_permits_that_are_given_back_behind_the_table_are_reported() -> None:
    async def watch() -> None:
        checked = Checked()
        checked.runs.add(checked.run)
        checked.pool.release(checked.run.id)
        assert checked.check() == ["run 1 costs 1 permits and holds 0"]
        checked.runs.move(checked.run, State.WITHDRAWN)
        assert checked.check() == []

    asyncio.run(watch())


def test_a_task_that_has_ended_sees_to_nothing() -> None:
    async def watch() -> None:
        checked = Checked()
        checked.runs.add(checked.run)
        assert checked.check() == []
        checked.run.life = asyncio.create_task(asyncio.sleep(0))
        await checked.run.life
        assert checked.check() == ["nothing sees to the end of run 1"]
        checked.run.life = checked.run.acceptor = None
        assert checked.check() == ["nothing sees to the end of run 1"]

    asyncio.run(watch())


@pytest.mark.parametrize(("found", "shown"), [([], "ok"), (["a thing"], ["a thing"])])
def test_clients_are_told(found: list[str], shown: object) -> None:
    stopped = ModuleStatus(ModuleState.STOPPED, None, 0.0, [], 0)
    modules = dict.fromkeys(ModuleKind, stopped)
    permits = Permits(2, 2, 0, 0, 1, 2)
    status = Status(1, None, modules, permits, [], pack_executions([]), 0, None, found)
    reply = msgspec.json.encode(WrittenStatus.of(status))
    assert msgspec.json.decode(reply, type=StatusReply).audit == shown
