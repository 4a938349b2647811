"""Injects faults into the processes of the service and of its runs, one after the other."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress

import psutil

from .disturbance import Disturbance
from .faults import RESTART, Fault, Way
from .oracle import Oracle
from .plans import FaultPlan, fault_plan
from .service import LEFT_TIMEOUT, TOTAL_PERMITS, ProcessesByRole, Role, ServiceUnderTest

_LONGEST_FREEZE = 3.0
_AGAIN_WITHIN = 1.5
_RUN_ID = re.compile(r"--genvm-id=(\d+)")
_DEATHS_WINDOW = 60.0
_MOST_DEATHS = 5
"""Fewer than the eight deaths within the window after which `serve` gives a half up."""


class ProcessFaultInjector:
    """Injects planned faults, each once the service has healed from the one before."""

    def __init__(self, seed: int, service: ServiceUnderTest, oracle: Oracle) -> None:
        self._seed = seed
        self._service = service
        self._oracle = oracle
        self._number = 0
        self._deaths: dict[str, deque[float]] = {
            half: deque(maxlen=_MOST_DEATHS) for half in ("http", "supervisor")
        }

    def inject(self, among: Sequence[Fault], until: float, mean_pause: float) -> None:
        """Inject some of these faults until a time, in seconds of the monotonic clock."""
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
            self._inject(RESTART if self._would_be_given_up(fault) else fault, plan)

    def _inject(self, fault: Fault, plan: FaultPlan) -> None:
        processes = self._service.wait_until_healthy()
        with self._oracle.disturbances.during(fault.name, fault.effects) as disturbance:
            hit = self._strike(fault, plan, processes, disturbance)
            if fault.again:
                hit += self._strike_again(fault, plan, disturbance)
            if fault.ends_serve:
                self._start_anew(processes, is_planned=fault.way is Way.STOP)
            self._service.wait_until_healthy(without=hit)

    def _strike(
        self, fault: Fault, plan: FaultPlan, processes: ProcessesByRole, disturbance: Disturbance
    ) -> list[psutil.Process]:
        """Hit the processes; return those that end by it."""
        victims = [
            choices[int(plan.pick * len(choices))]
            for choices in (_choices(fault, processes, role) for role in fault.roles)
            if choices
        ]
        if Role.EXECUTOR in fault.roles:
            disturbance.killed |= _runs_of(victims)
        for victim in victims:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                _hit(fault, victim, plan.pick * _LONGEST_FREEZE)
        if fault.way is Way.RELOAD:
            return processes.members[Role.WORKER]
        return victims if fault.is_deadly else []

    def _strike_again(
        self, fault: Fault, plan: FaultPlan, disturbance: Disturbance
    ) -> list[psutil.Process]:
        """Hit once more while the service heals; a second request to stop shortens the first."""
        if fault.ends_serve and fault.way is Way.KILL:
            self._service.wait()
            self._service.launch()
        time.sleep(plan.pick * _AGAIN_WITHIN)
        return self._strike(fault, plan, self._service.by_role(), disturbance)

    def _start_anew(self, processes: ProcessesByRole, *, is_planned: bool) -> None:
        """Start `serve` again at once, while processes of the killed one may still be ending."""
        code = self._service.wait()
        if is_planned:
            if code:
                self._oracle.violated("stops as asked", f"serve ended with {code}")
            if left := self._service.processes():
                self._oracle.violated("no process is left", f"after a planned stop: {left}")
        self._oracle.count("failed starts", self._service.start())
        # Until now the old processes may have acknowledged a change that is lost with them.
        self._oracle.sets_permits(TOTAL_PERMITS, for_sure=False)
        alive = psutil.wait_procs(processes.all, timeout=LEFT_TIMEOUT)[1]
        if alive:
            self._oracle.violated("no process is left", f"after the end of serve: {alive}")

    def _would_be_given_up(self, fault: Fault) -> bool:
        """Return whether `serve` would give up by this fault; count the deaths if it would not.

        A new `serve` starts counting from zero.
        """
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


def _choices(fault: Fault, processes: ProcessesByRole, role: Role) -> list[psutil.Process]:
    """Return the processes of a role that the fault may hit."""
    if not fault.group:
        return processes.members[role]
    return [each for each in processes.members[role] if _leads(each)]


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
    """Return whether it leads a session, as executors do."""
    try:
        return os.getsid(process.pid) == process.pid
    except ProcessLookupError:
        return False


def _runs_of(victims: Iterable[psutil.Process]) -> set[int]:
    """Return the runs that the victims belong to."""
    found = set()
    for victim in victims:
        with suppress(psutil.Error):
            found |= {int(number) for number in _RUN_ID.findall(" ".join(victim.cmdline()))}
    return found
