"""A client of the chaos test: starts one run after the other as planned, and tells the oracle."""

from __future__ import annotations

import re
import threading
import time
import traceback

from .checked_http import TIMEOUT, Answer, CheckedHttp
from .oracle import Oracle
from .plans import RunPlan, run_plan

_CANCELLED = re.compile(r"run (\d+) was cancelled before it started")
_NO_START = "the executor did not start"
_RETRY_PAUSE = 0.1
_ONE_WAIT = 1.0
"""Seconds that one request waits for a run's end: short, so that many of them meet a fault."""


class Gate:
    """Lets clients start runs while it is open; counts the clients that wait before it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._is_open = False
        self._is_over = False
        self._parked = 0

    @property
    def parked(self) -> int:
        """The number of clients that wait."""
        with self._condition:
            return self._parked

    def open(self) -> None:
        """Let clients start runs."""
        self._change(is_open=True, is_over=False)

    def close(self) -> None:
        """Have clients wait before their next run."""
        self._change(is_open=False, is_over=False)

    def end(self) -> None:
        """Have each client end before its next run."""
        self._change(is_open=False, is_over=True)

    def passed(self) -> bool:
        """Wait until the gate is open; return False when the client must end instead."""
        with self._condition:
            self._parked += 1
            self._condition.wait_for(lambda: self._is_open or self._is_over)
            self._parked -= 1
            return not self._is_over

    def _change(self, *, is_open: bool, is_over: bool) -> None:
        with self._condition:
            self._is_open, self._is_over = is_open, is_over
            self._condition.notify_all()


class Client(threading.Thread):
    """A client with a number of its own, which decides with the seed what it does."""

    def __init__(self, seed: int, number: int, port: int, gate: Gate, oracle: Oracle) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self._seed = seed
        self._number = number
        self._gate = gate
        self._oracle = oracle
        self._connection = CheckedHttp(port, oracle)

    def run(self) -> None:
        """Start one run after the other until the gate ends."""
        number = 0
        try:
            while self._gate.passed():
                number += 1
                self._one_run(run_plan(self._seed, self._number, number))
        except Exception:
            self._oracle.violated("the chaos test itself works", traceback.format_exc())
        finally:
            self._connection.close()

    def _one_run(self, plan: RunPlan) -> None:
        time.sleep(plan.pause)
        if plan.hang_up is not None:
            if plan.hang_up == 1:
                self._oracle.sends(plan)
            self._connection.hang_up("POST", "/genvm/run", plan.body(), part=plan.hang_up)
            if plan.token is None:
                return
            self._oracle.count("tokens after a lost reply")
        run_id = self._start(plan)
        if run_id is None:
            return
        if plan.leaves:
            self._connection.hang_up("GET", f"/genvm/{run_id}?wait=60s", after=plan.pause)
        if plan.cancel_after is not None:
            time.sleep(plan.cancel_after)
            self._cancel(run_id, plan.grace_ms)
        self._await(run_id, plan.timeout)
        if plan.repeats:
            self._oracle.count("tokens used again")
            self._start(plan)

    def _start(self, plan: RunPlan) -> int | None:
        """Return the run's id. With a token, repeat the request until there is an answer."""
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            self._oracle.sends(plan)
            answer = self._connection.request(
                "POST", "/genvm/run", content=plan.body(), expects=(500,)
            )
            if answer.is_success:
                run_id = int(answer.content["id"])
                self._oracle.acknowledged(plan, run_id)
                return run_id
            if not answer.comes_later:
                self._report_refused_start(plan, answer)
                return None
            if plan.token is None:
                return None
            time.sleep(_RETRY_PAUSE)
        self._oracle.violated("every request is answered", f"{plan.name} was not, by its token")
        return None

    def _report_refused_start(self, plan: RunPlan, answer: Answer) -> None:
        if found := _CANCELLED.fullmatch(answer.error):
            self._oracle.count("cancelled in the queue")
            self._oracle.acknowledged(plan, int(found[1]))
        elif plan.kind.program is None and answer.error.startswith(_NO_START):
            self._oracle.count("refused starts")
        else:
            said = f"{plan.name}: {answer.status} {answer.error}"
            self._oracle.violated("expected answers", said)

    def _cancel(self, run_id: int, grace_ms: int) -> None:
        self._oracle.cancels(run_id)
        answer = self._connection.request(
            "DELETE", f"/genvm/{run_id}", params={"wait_timeout_ms": grace_ms}
        )
        if answer.is_success:
            self._oracle.was_ended(run_id)
            self._read(run_id)

    def _await(self, run_id: int, timeout: float) -> None:
        until = time.monotonic() + timeout
        while time.monotonic() < until and not self._read(run_id, wait=_ONE_WAIT):
            pass

    def _read(self, run_id: int, wait: float = 0.0) -> bool:
        """Return whether the run has a terminal status now."""
        answer = read(self._connection, run_id, wait)
        if not answer.is_success:
            time.sleep(_RETRY_PAUSE)
            return False
        return self._oracle.read(run_id, answer.content["status"]) is not None


def read(connection: CheckedHttp, run_id: int, wait: float = 0.0) -> Answer:
    """Return the run's status; wait up to `wait` seconds for its end."""
    params = {"bytes": "base64", "wait": f"{round(wait * 1000)}ms"}
    return connection.request("GET", f"/genvm/{run_id}", params=params)
