"""What is done to the service. A new fault is one more line of `FAULTS`."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

import psutil

from .disturbance import Disturbance, Effect
from .oracle import Oracle
from .plans import FaultPlan, fault_plan
from .service import LEFT_TIMEOUT, TOTAL_PERMITS, House, Role, ServiceUnderTest

_LONGEST_FREEZE = 3.0
_AGAIN_WITHIN = 1.5
_RUN_ID = re.compile(r"--genvm-id=(\d+)")
_DEATHS_WINDOW = 60.0
_MOST_DEATHS = 5
"""`serve` gives up a half that dies eight times within the window: storms spare it that."""


class Way(Enum):
    """How it is done. `STOP` is SIGTERM, `RELOAD` is SIGHUP, `FREEZE` is SIGSTOP for a while."""

    KILL = "kill"
    STOP = "stop"
    RELOAD = "reload"
    FREEZE = "freeze"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to one of each of the `roles`, all at once; for executors, to their `group`.

    `weight`: how often it comes. `again`: once more a moment later, to whoever is there then.
    `needs_cgroup`: without one, nobody would be left to know a daemon that threw away its name.
    """

    name: str
    weight: int
    effects: frozenset[Effect]
    roles: tuple[Role, ...]
    way: Way = Way.KILL
    group: bool = False
    again: bool = False
    needs_cgroup: bool = False

    @property
    def is_harsh(self) -> bool:
        """Whether a supervisor ends."""
        return bool(self.effects & {Effect.SHUTS, Effect.LOSES})

    @property
    def is_deadly(self) -> bool:
        return self.way in (Way.KILL, Way.STOP)

    @property
    def ends_serve(self) -> bool:
        return self.is_deadly and Role.SERVE in self.roles

    def deaths(self, half: str) -> int:
        """How often a half of `serve`'s dies, so that the same `serve` starts it again."""
        roles = {Role.MASTER} if half == "http" else {Role.GUARD, Role.SUPERVISOR}
        dies = self.is_deadly and not self.ends_serve and roles & set(self.roles)
        return (2 if self.again else 1) if dies else 0


_NONE: frozenset[Effect] = frozenset()
_BREAKS = frozenset({Effect.BREAKS})
_SHUTS = frozenset({Effect.SHUTS})
_LOSES = frozenset({Effect.LOSES})
_ALL = frozenset(Effect)
_BOTH = (Role.GUARD, Role.SUPERVISOR)

RESTART = Fault("planned restart", 3, _SHUTS | _BREAKS, (Role.SERVE,), Way.STOP)
FAULTS = (
    Fault("executor", 12, _NONE, (Role.EXECUTOR,)),
    Fault("group", 8, _NONE, (Role.EXECUTOR,), group=True),
    Fault("frozen supervisor", 3, _NONE, (Role.SUPERVISOR,), Way.FREEZE),
    Fault("reload", 2, _NONE, (Role.SERVE,), Way.RELOAD),
    Fault("reload of the master", 1, _NONE, (Role.MASTER,), Way.RELOAD),
    Fault("worker", 5, _BREAKS, (Role.WORKER,)),
    Fault("master", 3, _BREAKS, (Role.MASTER,)),
    Fault("shim", 4, _SHUTS, (Role.GUARD,)),
    Fault("supervisor", 5, _LOSES, (Role.SUPERVISOR,)),
    Fault("supervisor, again", 2, _LOSES, (Role.SUPERVISOR,), again=True),
    Fault("shim and supervisor", 4, _SHUTS | _LOSES, _BOTH),
    Fault("shim and supervisor, again", 2, _SHUTS | _LOSES, _BOTH, again=True),
    Fault("supervisor and master", 3, _LOSES | _BREAKS, (Role.SUPERVISOR, Role.MASTER)),
    Fault("planned stop of the supervisor", 3, _SHUTS, (Role.GUARD,), Way.STOP),
    RESTART,
    Fault("planned restart, in haste", 2, _SHUTS | _BREAKS, (Role.SERVE,), Way.STOP, again=True),
    Fault("serve", 3, _SHUTS | _BREAKS, (Role.SERVE,)),
    Fault("serve, again", 2, _SHUTS | _BREAKS, (Role.SERVE,), again=True),
    Fault("serve and shim", 2, _SHUTS | _BREAKS, (Role.SERVE, Role.GUARD)),
    Fault("serve and supervisor", 2, _ALL, (Role.SERVE, Role.SUPERVISOR)),
    Fault("serve and master", 1, _SHUTS | _BREAKS, (Role.SERVE, Role.MASTER)),
    Fault("all three", 3, _ALL, (Role.SERVE, *_BOTH), needs_cgroup=True),
)
GENTLE = tuple(fault for fault in FAULTS if not fault.is_harsh)
"""Those that leave the supervisor alive."""


class Faults:
    """Commits one after the other, as planned; each when the one before it is healed."""

    def __init__(self, seed: int, service: ServiceUnderTest, oracle: Oracle) -> None:
        self._seed = seed
        self._service = service
        self._oracle = oracle
        self._number = 0
        self._deaths: dict[str, deque[float]] = {
            half: deque(maxlen=_MOST_DEATHS) for half in ("http", "supervisor")
        }

    def commit(self, among: Sequence[Fault], until: float, mean_pause: float) -> None:
        """Some of these, until then (monotonic)."""
        among = [each for each in among if self._service.cgroup or not each.needs_cgroup]
        by_name = {fault.name: fault for fault in among}
        weights = [fault.weight for fault in among]
        while True:
            self._number += 1
            plan = fault_plan(self._seed, self._number, list(by_name), weights, mean_pause)
            time.sleep(min(plan.pause, max(0.0, until - time.monotonic())))
            if time.monotonic() >= until:
                return
            fault = by_name[plan.name]
            self._commit(RESTART if self._would_be_given_up(fault) else fault, plan)

    def _commit(self, fault: Fault, plan: FaultPlan) -> None:
        house = self._service.whole()
        with self._oracle.disturbances.during(fault.name, fault.effects) as disturbance:
            hit = self._strike(fault, plan, house, disturbance)
            if fault.again:
                hit += self._strike_again(fault, plan, disturbance)
            if fault.ends_serve:
                self._start_anew(house, is_planned=fault.way is Way.STOP)
            self._service.whole(without=hit)

    def _strike(
        self, fault: Fault, plan: FaultPlan, house: House, disturbance: Disturbance
    ) -> list[psutil.Process]:
        """Those who end by it."""
        victims = [
            choices[int(plan.pick * len(choices))]
            for choices in (_choices(fault, house, role) for role in fault.roles)
            if choices
        ]
        if Role.EXECUTOR in fault.roles:
            disturbance.killed |= _runs_of(victims)
        for victim in victims:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                _hit(fault, victim, plan.pick * _LONGEST_FREEZE)
        if fault.way is Way.RELOAD:
            return house.members[Role.WORKER]
        return victims if fault.is_deadly else []

    def _strike_again(
        self, fault: Fault, plan: FaultPlan, disturbance: Disturbance
    ) -> list[psutil.Process]:
        """While it heals; a planned stop is only asked for more urgently."""
        if fault.ends_serve and fault.way is Way.KILL:
            self._service.wait()
            self._service.launch()
        time.sleep(plan.pick * _AGAIN_WITHIN)
        return self._strike(fault, plan, self._service.house(), disturbance)

    def _start_anew(self, house: House, *, is_planned: bool) -> None:
        """At once, while what a killed `serve` left is still about to go."""
        code = self._service.wait()
        if is_planned:
            if code:
                self._oracle.violated("stops as asked", f"serve ended with {code}")
            if left := self._service.processes():
                self._oracle.violated("no process is left", f"after a planned stop: {left}")
        self._oracle.count("starts in vain", self._service.start())
        # Until then the old halves may have said yes to a change that ends with them.
        self._oracle.sets_permits(TOTAL_PERMITS, for_sure=False)
        alive = psutil.wait_procs(house.all, timeout=LEFT_TIMEOUT)[1]
        if alive:
            self._oracle.violated("no process is left", f"after the end of serve: {alive}")

    def _would_be_given_up(self, fault: Fault) -> bool:
        """Counts the deaths of halves too; a new `serve` knows of none."""
        now = time.monotonic()
        if fault.ends_serve:
            for deaths in self._deaths.values():
                deaths.clear()
            return False
        for half, deaths in self._deaths.items():
            more = fault.deaths(half)
            recent = sum(1 for at in deaths if now - at < _DEATHS_WINDOW)
            if more and recent + more > _MOST_DEATHS:
                return self._would_be_given_up(RESTART) or True
        for half, deaths in self._deaths.items():
            deaths.extend([now] * fault.deaths(half))
        return False


def _choices(fault: Fault, house: House, role: Role) -> list[psutil.Process]:
    """Whom of a role the fault may hit."""
    if not fault.group:
        return house.members[role]
    return [each for each in house.members[role] if _leads(each)]


def _hit(fault: Fault, victim: psutil.Process, seconds: float) -> None:
    if fault.way is Way.STOP:
        victim.terminate()
    elif fault.way is Way.RELOAD:
        victim.send_signal(signal.SIGHUP)
    elif fault.way is Way.FREEZE:
        victim.suspend()
        time.sleep(seconds)
        victim.resume()
    elif fault.group:
        os.killpg(victim.pid, signal.SIGKILL)
    else:
        victim.kill()


def _leads(process: psutil.Process) -> bool:
    """Whether it leads a session, as executors do."""
    try:
        return os.getsid(process.pid) == process.pid
    except ProcessLookupError:
        return False


def _runs_of(victims: Iterable[psutil.Process]) -> set[int]:
    """The runs that the victims are processes of."""
    found = set()
    for victim in victims:
        with suppress(psutil.Error):
            found |= {int(number) for number in _RUN_ID.findall(" ".join(victim.cmdline()))}
    return found
