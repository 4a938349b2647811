"""Looks at the service all the time; changes its permits and cancels who waits for them."""

from __future__ import annotations

import threading
import traceback
from contextlib import suppress
from random import Random

import psutil

from .oracle import Oracle
from .service import Role, ServiceUnderTest
from .wire import Answer, Wire

FEWEST, MOST = 3, 10
"""Permits."""

_PERIOD = 0.25


class Meddler(threading.Thread):
    """Decides by the seed and the number of its look; rests when told to."""

    def __init__(self, seed: int, service: ServiceUnderTest, oracle: Oracle) -> None:
        super().__init__(name="meddler", daemon=True)
        self._seed = seed
        self._service = service
        self._oracle = oracle
        self._wire = Wire(service.port, oracle)
        self._over = threading.Event()
        self._meddling = threading.Lock()
        self._rests = True
        self.peak = {Role.SUPERVISOR: 0, Role.WORKER: 0}
        """The most memory that one of them had, in bytes."""

    def meddle(self) -> None:
        """From now on, not only look."""
        self._rests = False

    def rest(self) -> None:
        """Only look, until told otherwise; returns when nothing is under way."""
        self._rests = True
        with self._meddling:
            pass

    def end(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        number = 0
        try:
            while not self._over.wait(_PERIOD):
                number += 1
                self._look(Random(f"{self._seed}/look/{number}"))
        except Exception:
            self._oracle.violated("the storm itself is sound", traceback.format_exc())
        finally:
            self._wire.close()

    def _look(self, random: Random) -> None:
        self._weigh()
        answer = self._wire.ask("GET", "/status")
        if not answer.is_success:
            return
        self._oracle.count("audits")
        if answer.content["audit"] != "ok":
            self._oracle.violated("the audit is ok", str(answer.content["audit"]))
        if (in_use := answer.content["permits"]["in_use"]) > MOST:
            self._oracle.violated("permits are kept", f"{in_use} in use, never more than {MOST}")
        with self._meddling:
            if not self._rests:
                self._meddle(random, answer)

    def _meddle(self, random: Random, status: Answer) -> None:
        if random.random() < 0.3:
            permits = random.randint(FEWEST, MOST)
            self._oracle.sets_permits(permits, for_sure=False)
            answer = self._wire.ask("POST", "/permits", json={"permits": permits})
            if answer.is_success:
                self._oracle.sets_permits(permits, for_sure=True)
                self._oracle.count("permit changes")
        waiting = [
            int(run_id)
            for run_id, shown in status.content["executions"].items()
            if shown["state"] == "queued"
        ]
        if waiting and random.random() < 0.3:
            self._cancel(random.choice(waiting))

    def _cancel(self, run_id: int) -> None:
        """One that fails to start, or is sent home, was never there: 404."""
        self._oracle.cancels(run_id)
        answer = self._wire.ask(
            "DELETE", f"/genvm/{run_id}", params={"wait_timeout_ms": 0}, expects=(404,)
        )
        if answer.is_success:
            self._oracle.was_ended(run_id)

    def _weigh(self) -> None:
        members = self._service.house().members
        for role in self.peak:
            for process in members[role]:
                with suppress(psutil.NoSuchProcess):
                    self.peak[role] = max(self.peak[role], process.memory_info().rss)
