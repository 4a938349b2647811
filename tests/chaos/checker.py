"""Checks after the faults: everything acknowledged is read again, and nothing may be left over."""

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

from .checked_http import CheckedHttp
from .client import read
from .oracle import Oracle, instances
from .plans import RunPlan
from .service import ServiceUnderTest

T = TypeVar("T")

MOST_TOKENS = 500
"""How many tokens are sent once more at the end."""

_READERS = 6
_GONE_TIMEOUT = 60.0
_RUN_TOKEN = "GENVM_RUN_TOKEN"
_BAD_LOG_LINES = re.compile(
    r"Traceback|audit_violation|illegal_run_move|run_life_failed|command_failed|upkeep_failed"
    r"|survive SIGKILL|processes_survive_sigkill|scratch_not_removed|run_not_withdrawn"
    r"|cannot go from [a-z_]+ to "
)


class Checker:
    """Compares the service with the oracle, once no more faults are injected."""

    def __init__(self, seed: int, service: ServiceUnderTest, oracle: Oracle) -> None:
        self._random = Random(f"{seed}/checker")
        self._service = service
        self._oracle = oracle

    def check(self) -> None:
        """Check everything, also over one planned restart, and leave the service stopped."""
        self._use_tokens_again()
        self._read_all()
        self._stop()
        self._service.start()
        self._read_all()
        self._stop()
        self._look_for_leftovers()
        self._look_into_the_log()
        self._oracle.check_runs()

    def _use_tokens_again(self) -> None:
        plans = sorted(self._oracle.tokens(), key=lambda plan: plan.name)
        chosen = self._random.sample(plans, min(MOST_TOKENS, len(plans)))
        self._oracle.count("tokens used at the end", len(chosen))
        self._each(chosen, self._use_token)

    def _use_token(self, connection: CheckedHttp, plan: RunPlan) -> None:
        answer = connection.request("POST", "/genvm/run", content=plan.body())
        if answer.is_success:
            self._oracle.acknowledged(plan, int(answer.content["id"]))

    def _read_all(self) -> None:
        """Read each status twice: it must not change by being read."""
        self._each(self._oracle.known_ids(), self._read)

    def _read(self, connection: CheckedHttp, run_id: int) -> None:
        for _ in range(2):
            answer = read(connection, run_id)
            if answer.is_success:
                self._oracle.read(run_id, answer.content["status"])

    def _each(self, things: Sequence[T], work: Callable[[CheckedHttp, T], None]) -> None:
        """Do `work` for each of the things in several threads, each with its own connection."""
        local = threading.local()
        connections: list[CheckedHttp] = []

        def one(thing: T) -> None:
            """Do the work for one thing, on this thread's connection."""
            if not hasattr(local, "connection"):
                local.connection = CheckedHttp(self._service.port, self._oracle)
                connections.append(local.connection)
            work(local.connection, thing)

        with ThreadPoolExecutor(_READERS) as pool, _closing(connections):
            list(pool.map(one, things))

    def _stop(self) -> None:
        if code := self._service.stop():
            self._oracle.violated("stops as asked", f"serve ended with {code} after SIGTERM")

    def _look_for_leftovers(self) -> None:
        """Find processes by folder, by token, or by what executors recorded; temporary files."""
        recordings = self._oracle.recordings.all()
        deadline = time.monotonic() + _GONE_TIMEOUT
        while (left := self._left(instances(recordings.values()))) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            self._oracle.violated("no process is left", f"at the end there are {left}")
        self._oracle.expect_dead(recordings, "at the end")
        scratch = run_scratch(self._service.state)
        if files := list(scratch.iterdir()) if scratch.exists() else []:
            self._oracle.violated("nothing is left of a run", f"{files[:5]} at the end")

    def _left(self, names: set[str]) -> list[psutil.Process]:
        by_folder = self._service.processes()
        return [*by_folder, *(each for each in _with_token(names) if each not in by_folder)]

    def _look_into_the_log(self) -> None:
        for line in self._service.log.splitlines():
            if _BAD_LOG_LINES.search(line):
                self._oracle.violated("the log is clean", line[:300])


@contextmanager
def _closing(connections: list[CheckedHttp]) -> Iterator[None]:
    try:
        yield
    finally:
        for connection in connections:
            connection.close()


def _with_token(names: set[str]) -> Iterator[psutil.Process]:
    """Yield the processes with a run token from a store with one of these instance names."""
    for process in psutil.process_iter():
        try:
            token = process.environ().get(_RUN_TOKEN, "")
        except psutil.Error:
            continue
        if token.rpartition(".")[0] in names:
            yield process
