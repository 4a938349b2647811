"""What a client does in its n-th run, and what the n-th fault is; both depend on the seed alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from genvm_manager.protocol import calldata
from tests.support.service import run_request

from .kinds import Kind, Orders, drawn, major


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run of one client, from before its request until its end; times are in seconds.

    `name` is unique. `hang_up`: the part of a first request that is sent before the client hangs
    up without an answer; 1 sends all of it. `cancel_after`: when the run is cancelled. `timeout`:
    for how long its end is waited for. `repeats`: its token is used once more. `leaves`: another
    client that waits for its end hangs up first.
    """

    name: str
    kind: Kind
    orders: Orders
    deadline: float
    token: str | None
    hang_up: float | None
    cancel_after: float | None
    grace_ms: int
    timeout: float
    leaves: bool
    repeats: bool
    pause: float

    def body(self) -> bytes:
        """Return the run request as calldata."""
        fields: dict[str, Any] = {
            "major": major(self.kind),
            "calldata": calldata.encode(json.dumps({"name": self.name, **self.orders})),
            "deadline": f"{round(self.deadline * 1000)}ms",
        }
        if self.token is not None:
            fields["host_genvm_id"] = self.token
        return calldata.encode(run_request(**fields))


def run_plan(seed: int, client: int, number: int) -> RunPlan:
    """Return what the client does in its run of that number."""
    name = f"{client}-{number}"
    random = Random(f"{seed}/run/{name}")
    kind = drawn(random)
    has_token = random.random() < 0.6
    return RunPlan(
        name=name,
        kind=kind,
        orders=kind.orders(random),
        deadline=random.uniform(*kind.deadline),
        token=f"token {name}" if has_token else None,
        hang_up=random.choice([1.0, 1.0, random.random()]) if random.random() < 0.15 else None,
        cancel_after=random.expovariate(4) if random.random() < 0.2 else None,
        grace_ms=random.choice([0, 100, 1_000]),
        timeout=random.choice([0.0, 2.0, 10.0]),
        leaves=random.random() < 0.1,
        repeats=has_token and random.random() < 0.3,
        pause=random.expovariate(10),
    )


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """The n-th fault: its name, the seconds before it, and which candidate it hits, from 0 to 1."""

    number: int
    name: str
    pause: float
    pick: float


def fault_plan(
    seed: int, number: int, names: Sequence[str], weights: Sequence[int], mean_pause: float
) -> FaultPlan:
    """Return the n-th fault: one of the names, by weight."""
    random = Random(f"{seed}/fault/{number}")
    name = random.choices(names, weights)[0]
    return FaultPlan(number, name, min(3.0, random.expovariate(1 / mean_pause)), random.random())
