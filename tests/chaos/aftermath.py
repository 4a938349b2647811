"""After the storm: everything that was ever said is asked for again, and nothing may be left."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import TypeVar

import psutil

from genvm_manager.base.files.state_folder import run_scratch

from .client import read
from .oracle import Oracle, instances
from .plans import RunPlan
from .service import ServiceUnderTest
from .wire import Wire

T = TypeVar("T")

MOST_TOKENS = 500
"""So many tokens are sent once more at the end."""

_READERS = 6
_GONE_TIMEOUT = 60.0
_RUN_TOKEN = "GENVM_RUN_TOKEN"
_BAD_WORDS = re.compile(
    r"Traceback|audit_violation|permits_were_kept|run_life_failed|command_failed|upkeep_failed"
    r"|survive SIGKILL|processes_survive_sigkill|scratch_not_removed|run_not_withdrawn"
    r"|illegal transition"
)


class Aftermath:
    """Holds the service against the oracle, once nothing more is done to it."""

    def __init__(self, seed: int, service: ServiceUnderTest, oracle: Oracle) -> None:
        self._random = Random(f"{seed}/aftermath")
        self._service = service
        self._oracle = oracle

    def inspect(self) -> None:
        """Leaves the service stopped."""
        self._use_tokens_again()
        self._read_all()
        self._stop()
        self._service.start()
        self._read_all()
        self._stop()
        self._look_for_leftovers()
        self._look_into_the_log()
        self._oracle.give_verdict()

    def _use_tokens_again(self) -> None:
        plans = sorted(self._oracle.tokens(), key=lambda plan: plan.name)
        chosen = self._random.sample(plans, min(MOST_TOKENS, len(plans)))
        self._oracle.count("tokens used at the end", len(chosen))
        self._each(chosen, self._use_token)

    def _use_token(self, wire: Wire, plan: RunPlan) -> None:
        answer = wire.ask("POST", "/genvm/run", content=plan.body())
        if answer.is_success:
            self._oracle.acknowledged(plan, int(answer.content["id"]))

    def _read_all(self) -> None:
        """Twice each: a status must not change by being read."""
        self._each(self._oracle.known_ids(), self._read)

    def _read(self, wire: Wire, run_id: int) -> None:
        for _ in range(2):
            answer = read(wire, run_id)
            if answer.is_success:
                self._oracle.read(run_id, answer.content["status"])

    def _each(self, things: Sequence[T], work: Callable[[Wire, T], None]) -> None:
        """Many at a time, each thread with a wire of its own."""
        local = threading.local()
        wires: list[Wire] = []

        def one(thing: T) -> None:
            if not hasattr(local, "wire"):
                local.wire = Wire(self._service.port, self._oracle)
                wires.append(local.wire)
            work(local.wire, thing)

        with ThreadPoolExecutor(_READERS) as pool, _closing(wires):
            list(pool.map(one, things))

    def _stop(self) -> None:
        if code := self._service.stop():
            self._oracle.violated("stops as asked", f"serve ended with {code} after SIGTERM")

    def _look_for_leftovers(self) -> None:
        """Processes known by folder, by token, or by what the executors told; temporary files."""
        told = self._oracle.witnesses.all()
        deadline = time.monotonic() + _GONE_TIMEOUT
        while (left := self._left(instances(told.values()))) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            self._oracle.violated("no process is left", f"at the end there are {left}")
        self._oracle.expect_dead(told, "at the end")
        scratch = run_scratch(self._service.state)
        if files := list(scratch.iterdir()) if scratch.exists() else []:
            self._oracle.violated("nothing is left of a run", f"{files[:5]} at the end")

    def _left(self, names: set[str]) -> list[psutil.Process]:
        by_folder = self._service.processes()
        return [*by_folder, *(each for each in _with_token(names) if each not in by_folder)]

    def _look_into_the_log(self) -> None:
        for line in self._service.log.splitlines():
            if _BAD_WORDS.search(line):
                self._oracle.violated("the log is clean", line[:300])


@contextmanager
def _closing(wires: list[Wire]) -> Iterator[None]:
    try:
        yield
    finally:
        for wire in wires:
            wire.close()


def _with_token(names: set[str]) -> Iterator[psutil.Process]:
    """Processes that a store of one of these names has given a run's token."""
    for process in psutil.process_iter():
        try:
            token = process.environ().get(_RUN_TOKEN, "")
        except psutil.Error:
            continue
        if token.rpartition(".")[0] in names:
            yield process
