"""The audit: silent when all is well, and each rule speaks when it is broken."""

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
from genvm_manager.protocol.ipc.runs import Cause, RunState
from genvm_manager.protocol.ipc.status import Permits, Status, pack_executions
from genvm_manager.supervisor.cgroups.cgroup_manager import CgroupManager
from genvm_manager.supervisor.runs.admission_queue import AdmissionQueue
from genvm_manager.supervisor.runs.invariant_checker import InvariantChecker
from genvm_manager.supervisor.runs.reaper import Reaper
from genvm_manager.supervisor.runs.rules_invariants import MOST_TOLD, AuditedRun, LeaseStatus, audit
from genvm_manager.supervisor.runs.rules_permits import PermitPool, PermitSnapshot
from genvm_manager.supervisor.runs.rules_rate_limit import RateLimiter
from genvm_manager.supervisor.runs.run import Run, settle
from genvm_manager.supervisor.settings.rules_manifest import Executor
from tests.support.supervisor import start_command

RUNNING = AuditedRun(3, RunState.RUNNING, LeaseStatus.HOLDS, 1, pid=33, has_life=True)
DEAR = AuditedRun(4, RunState.STARTING, LeaseStatus.HOLDS, 2, pid=None, has_life=True)
ENDING = AuditedRun(5, RunState.RUNNING, LeaseStatus.LEAVES, 1, pid=None, has_life=True)
WAITING = AuditedRun(7, RunState.QUEUED, LeaseStatus.WAITS, 2, pid=None, has_life=True)
RUNS = [RUNNING, DEAR, ENDING, WAITING]
BOOKS = PermitSnapshot(total=4, in_use=3, ceiling=4, leases={3: 1, 4: 2}, queue={7: 2})
LAST_ID = 7


def sentences(
    runs: list[AuditedRun] = RUNS,
    books: PermitSnapshot = BOOKS,
    last_id: int = LAST_ID,
    watched: int = 33,
) -> list[str]:
    return [each.sentence for each in audit(runs, books, last_id, [watched])]


def with_run(changed: AuditedRun) -> list[AuditedRun]:
    return [changed if run.id == changed.id else run for run in RUNS]


def test_nothing_is_said_when_all_is_well() -> None:
    assert sentences() == []
    assert audit([], PermitSnapshot(4, 0, 4, {}, {}), 0, []) == []


@pytest.mark.parametrize(
    ("books", "said"),
    [
        (
            replace(BOOKS, in_use=2, queue={}),
            "the leases are 3 permits in sum, 2 count as in use",
        ),
        (replace(BOOKS, total=2, ceiling=2), "3 permits are leased, no more than 2 may be"),
        (replace(BOOKS, total=5), "run 7 is next and waits for 2 permits, 2 are free"),
        (
            replace(BOOKS, leases={**BOOKS.leases, 9: 1}, in_use=4),
            "run 9 is not under way and holds 1 permits",
        ),
        (
            replace(BOOKS, queue={**BOOKS.queue, 9: 1}),
            "run 9 is not under way and waits for permits",
        ),
        (replace(BOOKS, queue={**BOOKS.queue, 5: 1}), "run 5 is running and waits for permits"),
        (
            replace(BOOKS, leases={**BOOKS.leases, 7: 1}, in_use=4),
            "run 7 waits for permits and holds some",
        ),
        (
            replace(BOOKS, leases={4: 2}, in_use=2, total=3, ceiling=3),
            "run 3 costs 1 permits and holds 0",
        ),
        (
            replace(BOOKS, leases={3: 1, 4: 1}, in_use=2, total=3, ceiling=3),
            "run 4 costs 2 permits and holds 1",
        ),
        (replace(BOOKS, queue={}), "run 7 waits and is not in the queue"),
    ],
)
def test_books_that_do_not_add_up(books: PermitSnapshot, said: str) -> None:
    assert said in sentences(books=books)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (replace(RUNNING, has_life=False), "nothing sees to the end of run 3"),
        (replace(WAITING, pid=77), "run 7 is queued and has a process"),
        (replace(RUNNING, pid=None), "run 3 is running and has no process"),
        (replace(RUNNING, state=RunState.FINISHED), "run 3 is finished and holds 1 permits"),
        (replace(WAITING, state=RunState.STARTING), "run 7 is starting and waits for permits"),
        (replace(ENDING, pid=33), "process 33 belongs to 2 runs"),
    ],
)
def test_runs_that_do_not_fit(changed: AuditedRun, said: str) -> None:
    assert said in sentences(with_run(changed))


def test_ids_go_up() -> None:
    assert sentences([*RUNS[::-1]])[0] == "run 5 came after run 7"
    assert sentences([RUNNING, RUNNING, *RUNS[1:]])[0] == "run 3 came after run 3"
    assert sentences(last_id=6) == ["run 7 is under way, the last id given is 6"]


def test_a_process_that_belongs_to_no_run() -> None:
    assert sentences(watched=34) == ["process 34 belongs to no run under way"]


def test_after_a_lowering_more_may_be_in_use() -> None:
    assert sentences(books=replace(BOOKS, total=2, ceiling=3)) == []


def test_no_more_is_told_than_can_be_read() -> None:
    books = replace(BOOKS, queue={**BOOKS.queue, **dict.fromkeys(range(100, 200), 1)})
    told = sentences(books=books)
    assert len(told) == MOST_TOLD + 1
    assert told[-1] == "and 80 more"


class House:
    """A desk, a run that waits at it, and an auditor that writes into a list."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.pool = PermitPool(2, 10)
        self.desk = AdmissionQueue(self.pool, PermitCosts(total=2), RateLimiter(10, 0.0))
        logger = logging.Logger("audit")
        logger.addHandler(_Lines(self.lines))
        log = EventLog(logger)
        reaper = Reaper(CgroupManager((), 0, log), log)
        self.auditor = InvariantChecker(self.desk, reaper, log)
        executor = Executor("v0.0.0", (0, 0, 0), 0.0, ("/bin/true",))
        self.run = Run(1, start_command("quick"), executor, cost=1)

    def look(self) -> list[str]:
        task = asyncio.current_task()
        assert task is not None
        self.auditor.look([self.run], {1: task}, 1)
        return self.auditor.sentences


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        fields = record.__dict__["fields"]
        self._lines.append(f"{record.levelname} {record.getMessage()} {fields['rule']}")


def test_a_violation_is_logged_when_it_comes_and_when_it_goes() -> None:
    async def watch() -> list[str]:
        house = House()
        house.desk.queue(house.run)
        assert house.look() == []
        house.pool.enqueue(99, 1)
        house.pool.grant()
        assert house.look() == ["run 99 is not under way and holds 1 permits"]
        house.pool.release(99)
        house.pool.enqueue(99, 2)
        assert house.look() == ["run 99 is not under way and waits for permits"]
        assert house.look() == ["run 99 is not under way and waits for permits"]
        house.pool.release(99)
        assert house.look() == []
        return house.lines

    assert asyncio.run(watch()) == [
        "ERROR audit_violation stranger_holds 99",
        "ERROR audit_violation stranger_waits 99",
        "ERROR audit_violation_over stranger_holds 99",
        "ERROR audit_violation_over stranger_waits 99",
    ]


def test_a_run_that_is_told_to_end_may_be_anywhere() -> None:
    async def watch() -> None:
        house = House()
        house.pool.enqueue(98, 2)
        house.pool.grant()
        house.desk.queue(house.run)
        settle(house.run.granted)
        strangers = ["run 98 is not under way and holds 2 permits"]
        assert house.look() == [*strangers, "run 1 costs 1 permits and holds 0"]
        house.run.cause = Cause.CANCELLED
        assert house.look() == strangers
        house.desk.give_back(house.run)
        assert house.look() == strangers

    asyncio.run(watch())


def test_a_life_that_has_ended_is_none() -> None:
    async def watch() -> None:
        house = House()
        house.desk.queue(house.run)
        done = asyncio.create_task(asyncio.sleep(0))
        await done
        house.auditor.look([house.run], {1: done}, 1)
        assert house.auditor.sentences == ["nothing sees to the end of run 1"]
        house.auditor.look([house.run], {}, 1)
        assert house.auditor.sentences == ["nothing sees to the end of run 1"]

    asyncio.run(watch())


@pytest.mark.parametrize(("found", "shown"), [([], "ok"), (["a thing"], ["a thing"])])
def test_clients_are_told(found: list[str], shown: object) -> None:
    stopped = ModuleStatus(ModuleState.STOPPED, None, 0.0, [], 0)
    modules = dict.fromkeys(ModuleKind, stopped)
    permits = Permits(2, 2, 0, 0, 1, 2)
    status = Status(1, None, modules, permits, [], pack_executions([]), 0, None, found)
    reply = msgspec.json.encode(WrittenStatus.of(status))
    assert msgspec.json.decode(reply, type=StatusReply).audit == shown
