"""Injects faults over the HTTP API: changes the permits and cancels runs in the queue.

It also checks the status all the time: its audit, its permits, and the memory of the processes.
"""

from __future__ import annotations

import threading
import traceback
from contextlib import suppress
from random import Random

import psutil

from .checked_http import Answer, CheckedHttp
from .oracle import Oracle
from .service import Role, ServiceUnderTest

FEWEST, MOST = 3, 10
"""Limits of the number of permits that it sets."""

_PERIOD = 0.25


class ApiFaultInjector(threading.Thread):
    """Checks the status every 250 ms, and unless paused changes permits and cancels queued runs.

    What it does is decided by the seed and the number of the check.
    """

    def __init__(self, seed: int, service: ServiceUnderTest, oracle: Oracle) -> None:
        super().__init__(name="API fault injector", daemon=True)
        self._seed = seed
        self._service = service
        self._oracle = oracle
        self._connection = CheckedHttp(service.port, oracle)
        self._over = threading.Event()
        self._injecting = threading.Lock()
        self._is_paused = True
        self.peak = {Role.SUPERVISOR: 0, Role.WORKER: 0}
        """The most memory that a process of these roles had, in bytes."""

    def resume(self) -> None:
        """Change permits and cancel runs from now on."""
        self._is_paused = False

    def pause(self) -> None:
        """Only check from now on; return when no change is under way."""
        self._is_paused = True
        with self._injecting:
            pass

    def end(self) -> None:
        """End the thread and wait for it."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Check, and inject unless paused, until the end."""
        number = 0
        try:
            while not self._over.wait(_PERIOD):
                number += 1
                self._check(Random(f"{self._seed}/check/{number}"))
        except Exception:
            self._oracle.violated("the chaos test itself works", traceback.format_exc())
        finally:
            self._connection.close()

    def _check(self, random: Random) -> None:
        self._measure_memory()
        answer = self._connection.request("GET", "/status")
        if not answer.is_success:
            return
        self._oracle.count("audits")
        if answer.content["audit"] != "ok":
            self._oracle.violated("the audit is ok", str(answer.content["audit"]))
        if (in_use := answer.content["permits"]["in_use"]) > MOST:
            self._oracle.violated("permits are kept", f"{in_use} in use, never more than {MOST}")
        with self._injecting:
            if not self._is_paused:
                self._inject(random, answer)

    def _inject(self, random: Random, status: Answer) -> None:
        if random.random() < 0.3:
            permits = random.randint(FEWEST, MOST)
            self._oracle.sets_permits(permits, for_sure=False)
            answer = self._connection.request("POST", "/permits", json={"permits": permits})
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
        """Cancel a queued run; 404 means that it failed to start or was withdrawn."""
        self._oracle.cancels(run_id)
        answer = self._connection.request(
            "DELETE", f"/genvm/{run_id}", params={"wait_timeout_ms": 0}, expects=(404,)
        )
        if answer.is_success:
            self._oracle.was_ended(run_id)

    def _measure_memory(self) -> None:
        members = self._service.by_role().members
        for role in self.peak:
            for process in members[role]:
                with suppress(psutil.NoSuchProcess):
                    self.peak[role] = max(self.peak[role], process.memory_info().rss)
