"""A chaos run: clients and fault injectors in phases; the runs are drained between phases."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psutil

from .api_fault_injector import ApiFaultInjector
from .checked_http import TIMEOUT, CheckedHttp
from .client import Client, Gate
from .faults import FAULTS, GENTLE, Fault
from .idle import IdleMoment, Open
from .oracle import Oracle
from .process_fault_injector import ProcessFaultInjector
from .service import TOTAL_PERMITS, ServiceUnderTest

CLIENTS = 12
HARSH_PHASE = 12.0
GENTLE_PHASE = 10.0
_MEAN_PAUSE = 0.7
_DRAIN_TIMEOUT = 120.0
_SETTLE_TIMEOUT = 60.0
_PAUSE = 0.05


class ChaosRun:
    """Runs clients and faults against a started service. `idle`: its idle moments, in order."""

    def __init__(self, seed: int, service: ServiceUnderTest, oracle: Oracle) -> None:
        self._service = service
        self._oracle = oracle
        self._gate = Gate()
        self._processes = ProcessFaultInjector(seed, service, oracle)
        self._connection = CheckedHttp(service.port, oracle)
        self.injector = ApiFaultInjector(seed, service, oracle)
        self.idle: list[IdleMoment] = []
        self._first_opened: dict[psutil.Process, Open] = {}
        self._clients = [
            Client(seed, number, service.port, self._gate, oracle)
            for number in range(1, CLIENTS + 1)
        ]

    def run(self, seconds: float) -> None:
        """Run for so many seconds, in harsh and gentle phases by turns.

        A harsh phase ends supervisors. A gentle phase does not, so the idle moments before and
        after it show whether the same supervisor has leaked something.
        """
        until = time.monotonic() + seconds
        self._oracle.sets_permits(TOTAL_PERMITS, for_sure=True)
        for thread in (*self._clients, self.injector):
            thread.start()
        try:
            while time.monotonic() < until:
                self._inject_faults(FAULTS, min(until, time.monotonic() + HARSH_PHASE))
                self._drain()
                self._inject_faults(GENTLE, min(until, time.monotonic() + GENTLE_PHASE))
                self._drain()
        finally:
            self._gate.end()
            self.injector.end()
            self._connection.close()
        for client in self._clients:
            client.join(TIMEOUT)
            if client.is_alive():
                self._oracle.violated("every request is answered", f"{client.name} still waits")

    def _inject_faults(self, faults: Sequence[Fault], until: float) -> None:
        self._gate.open()
        self.injector.resume()
        self._processes.inject(faults, until, _MEAN_PAUSE)
        self.injector.pause()
        self._gate.close()

    def _drain(self) -> None:
        """End all runs, then check which resources are left in use."""
        deadline = time.monotonic() + _DRAIN_TIMEOUT
        while not self._is_drained():
            if time.monotonic() > deadline:
                self._report_not_drained()
                return
            time.sleep(_PAUSE)
        self._check_idle_moment()

    def _is_drained(self) -> bool:
        """Cancel the runs that are under way; return whether there were none and all is idle."""
        status = self._connection.request("GET", "/status")
        if not status.is_success:
            return False
        under_way = [
            int(run_id)
            for run_id, shown in status.content["executions"].items()
            if shown["state"] != "finished"
        ]
        for run_id in under_way:
            self._oracle.cancels(run_id)
            path = f"/genvm/{run_id}"
            self._connection.request("DELETE", path, params={"wait_timeout_ms": 0}, expects=(404,))
        permits = status.content["permits"]
        self._oracle.sees_permits(permits["max"])
        is_free = permits["in_use"] == permits["queued"] == 0
        return self._gate.parked == len(self._clients) and is_free and not under_way

    def _report_not_drained(self) -> None:
        status = self._connection.request("GET", "/status")
        stopped = f"{self._gate.parked} of {len(self._clients)} clients have stopped"
        self._oracle.violated(
            "permits come back", f"not drained: {stopped}, {status.content.get('permits')}"
        )

    def _check_idle_moment(self) -> None:
        """Check an idle moment; what is just being released gets time for it."""
        deadline = time.monotonic() + _SETTLE_TIMEOUT
        while True:
            idle = IdleMoment.of(self._service)
            growth = list(idle.growth(self._first_opened))
            if (not idle.left and not growth) or time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
        for detail in idle.left:
            self._oracle.violated("nothing is left of a run", detail)
        for violation in (*growth, *idle.excess(self.idle[0] if self.idle else idle)):
            self._oracle.violated(violation.rule, violation.detail)
        self._first_opened = {**idle.opened, **self._first_opened}
        self.idle.append(idle)
