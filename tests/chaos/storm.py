"""The storm: clients, a meddler and faults, in spells with calms between them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psutil

from .client import Client, Gate
from .faults import FAULTS, GENTLE, Fault, Faults
from .idle import IdleMoment, Open
from .meddler import Meddler
from .oracle import Oracle
from .service import TOTAL_PERMITS, ServiceUnderTest
from .wire import TIMEOUT, Wire

CLIENTS = 12
HARSH_SPELL = 12.0
GENTLE_SPELL = 10.0
_MEAN_PAUSE = 0.7
_CALM_TIMEOUT = 120.0
_SETTLE_TIMEOUT = 60.0
_PAUSE = 0.05


class Storm:
    """Rages against a service that is started. `idle`: the idle moments of it, in order."""

    def __init__(self, seed: int, service: ServiceUnderTest, oracle: Oracle) -> None:
        self._service = service
        self._oracle = oracle
        self._gate = Gate()
        self._faults = Faults(seed, service, oracle)
        self._wire = Wire(service.port, oracle)
        self.meddler = Meddler(seed, service, oracle)
        self.idle: list[IdleMoment] = []
        self._first_opened: dict[psutil.Process, Open] = {}
        self._clients = [
            Client(seed, number, service.port, self._gate, oracle)
            for number in range(1, CLIENTS + 1)
        ]

    def rage(self, seconds: float) -> None:
        """For so long. A harsh spell ends supervisors; the calms around a gentle one show whether
        the same supervisor has kept something."""
        until = time.monotonic() + seconds
        self._oracle.sets_permits(TOTAL_PERMITS, for_sure=True)
        for thread in (*self._clients, self.meddler):
            thread.start()
        try:
            while time.monotonic() < until:
                self._blow(FAULTS, min(until, time.monotonic() + HARSH_SPELL))
                self._calm()
                self._blow(GENTLE, min(until, time.monotonic() + GENTLE_SPELL))
                self._calm()
        finally:
            self._gate.end()
            self.meddler.end()
            self._wire.close()
        for client in self._clients:
            client.join(TIMEOUT)
            if client.is_alive():
                self._oracle.violated("every request is answered", f"{client.name} still waits")

    def _blow(self, faults: Sequence[Fault], until: float) -> None:
        self._gate.open()
        self.meddler.meddle()
        self._faults.commit(faults, until, _MEAN_PAUSE)
        self.meddler.rest()
        self._gate.close()

    def _calm(self) -> None:
        """End all runs, then look at what is left."""
        deadline = time.monotonic() + _CALM_TIMEOUT
        while not self._is_calm():
            if time.monotonic() > deadline:
                self._complain_of_unrest()
                return
            time.sleep(_PAUSE)
        self._take_stock()

    def _is_calm(self) -> bool:
        """Cancels what is under way."""
        status = self._wire.ask("GET", "/status")
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
            self._wire.ask("DELETE", path, params={"wait_timeout_ms": 0}, expects=(404,))
        permits = status.content["permits"]
        self._oracle.sees_permits(permits["max"])
        is_free = permits["in_use"] == permits["queued"] == 0
        return self._gate.parked == len(self._clients) and is_free and not under_way

    def _complain_of_unrest(self) -> None:
        status = self._wire.ask("GET", "/status")
        standing = f"{self._gate.parked} of {len(self._clients)} clients have stopped"
        self._oracle.violated(
            "permits come back", f"no calm: {standing}, {status.content.get('permits')}"
        )

    def _take_stock(self) -> None:
        """What is about to go has a moment to do so."""
        deadline = time.monotonic() + _SETTLE_TIMEOUT
        while True:
            idle = IdleMoment.of(self._service)
            growth = list(idle.growth(self._first_opened))
            if (not idle.left and not growth) or time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
        for sentence in idle.left:
            self._oracle.violated("nothing is left of a run", sentence)
        for violation in (*growth, *idle.excess(self.idle[0] if self.idle else idle)):
            self._oracle.violated(violation.demand, violation.sentence)
        self._first_opened = {**idle.opened, **self._first_opened}
        self.idle.append(idle)
