"""The numbers of a chaos run: while it runs and at its end."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .chaos_run import ChaosRun
from .oracle import Oracle
from .service import Role

_PERIOD = 5.0


@contextmanager
def progress(oracle: Oracle, chaos: ChaosRun) -> Iterator[None]:
    """Print a line of progress to stderr every few seconds while the context is entered."""
    over = threading.Event()
    began = time.monotonic()

    def tell() -> None:
        while not over.wait(_PERIOD):
            line = f"{time.monotonic() - began:5.0f} s: {_line(oracle, chaos)}"
            print(line, file=sys.stderr, flush=True)

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _line(oracle: Oracle, chaos: ChaosRun) -> str:
    return (
        f"{len(oracle.acknowledged_ids())} runs acknowledged, {oracle.endings().total()} read, "
        f"{sum(1 for _ in oracle.disturbances)} faults, {oracle.counts['503']} got 503, "
        f"supervisor at most {chaos.injector.peak[Role.SUPERVISOR] >> 20} MB, "
        f"{len(oracle.violations)} violations"
    )


def summary(seed: int, seconds: float, oracle: Oracle, chaos: ChaosRun) -> dict[str, Any]:
    """Return all numbers as one JSON object; times are in seconds, memory in bytes."""
    disturbances = list(oracle.disturbances)
    times = sorted(each.took for each in disturbances if each.effects)
    counts = dict(sorted(oracle.counts.items()))
    return {
        "seed": seed,
        "seconds": seconds,
        "violations": [
            {"rule": each.rule, "detail": each.detail, "ids": list(each.ids)}
            for each in oracle.violations
        ],
        "runs": {
            "acknowledged": len(oracle.acknowledged_ids()),
            "known": len(oracle.known_ids()),
            "by_ending": dict(oracle.endings().most_common()),
            "by_kind": dict(oracle.kinds().most_common()),
        },
        "faults": dict(Counter(each.name for each in disturbances).most_common()),
        "runs_killed": len(oracle.disturbances.killed()),
        "healed_within": {
            "median": round(times[len(times) // 2], 3) if times else None,
            "max": round(times[-1], 3) if times else None,
        },
        "counts": counts,
        "memory": {
            "supervisor_peak": chaos.injector.peak[Role.SUPERVISOR],
            "http_worker_peak": chaos.injector.peak[Role.WORKER],
            "supervisor_idle": [idle.memory for idle in chaos.idle],
        },
        "descriptors": {
            "supervisor_idle": [idle.supervisor_opened.kinds.total() for idle in chaos.idle],
            "clients_idle": [idle.supervisor_opened.clients for idle in chaos.idle],
        },
    }


def text(found: dict[str, Any]) -> str:
    """Return the summary as text for people."""
    runs, memory = found["runs"], found["memory"]
    idle = memory["supervisor_idle"] or [0]
    counts = found["counts"]
    lines = [
        f"seed {found['seed']}, {found['seconds']:.0f} s of chaos",
        f"runs: {runs['acknowledged']} acknowledged, {runs['known']} known",
        f"  ended: {_listed(runs['by_ending'])}",
        f"  kinds: {_listed(runs['by_kind'])}",
        f"faults: {_listed(found['faults'])}",
        f"  healed within {found['healed_within']['median']} s (median), "
        f"{found['healed_within']['max']} s (most)",
        f"requests: {counts.get('requests', 0)}, of which {counts.get('503', 0)} got 503 and "
        f"{counts.get('broken connections', 0)} broke; {counts.get('hang-ups', 0)} hang-ups",
        f"supervisor: idle {idle[0] >> 20} MB at first, {idle[-1] >> 20} MB at last, "
        f"at most {memory['supervisor_peak'] >> 20} MB",
        f"violations: {len(found['violations'])}",
    ]
    lines += [f"  {each['rule']}: {each['detail']}" for each in found["violations"]]
    return "\n".join(lines)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
