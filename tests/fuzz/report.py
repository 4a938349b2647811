"""What fuzzing says: a line every few seconds, and a summary at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from .tally import Most, Tally

_PERIOD = 5.0
_SHOWN_OUTCOMES = 30


def progress() -> Callable[[Tally], None]:
    """Return a function that prints on stderr how it goes, at most every few seconds."""
    last = time.monotonic()

    def tell(tally: Tally) -> None:
        nonlocal last
        if time.monotonic() - last >= _PERIOD:
            last = time.monotonic()
            say(
                f"{tally.elapsed:5.0f} s {tally.target}: {tally.inputs} inputs, "
                f"{len(tally.outcomes)} outcomes, {tally.slowest.amount:.1f} s and "
                f"{_mebibytes(tally.largest.amount)} at most, {tally.kinds.total()} findings"
            )

    return tell


def say(line: str) -> None:
    """Print a line on stderr."""
    print(line, file=sys.stderr, flush=True)


def summary(tally: Tally) -> dict[str, Any]:
    """Return one target as a JSON object; times in seconds, memory in bytes."""
    return {
        "target": tally.target,
        "seed": tally.seed,
        "seconds": round(tally.elapsed, 1),
        "inputs": tally.inputs,
        "outcomes": dict(tally.outcomes.most_common()),
        "slowest": _most(tally.slowest),
        "largest": _most(tally.largest),
        "findings": [
            {"number": each.number, "faults": each.faults, "file": str(each.path)}
            for each in tally.found_faults
        ],
        "findings_by_kind": dict(tally.kinds.most_common()),
    }


def _most(most: Most) -> dict[str, Any]:
    return {"amount": round(most.amount, 3), "number": most.number}


def text(found: dict[str, Any]) -> str:
    """Return the summary as text for people."""
    rate = found["inputs"] / max(found["seconds"], 0.001)
    slowest, largest = found["slowest"], found["largest"]
    outcomes = list(found["outcomes"].items())
    lines = [
        f"{found['target']}: seed {found['seed']}, {found['inputs']} inputs in "
        f"{found['seconds']:.0f} s ({rate:.0f} a second)",
        f"  slowest: {slowest['amount']:.2f} s of processor time (number {slowest['number']})",
        f"  largest: {_mebibytes(largest['amount'])} (number {largest['number']})",
        f"  outcomes: {len(outcomes)}",
        *(f"    {count:7} {name}" for name, count in outcomes[:_SHOWN_OUTCOMES]),
    ]
    if len(outcomes) > _SHOWN_OUTCOMES:
        rest = outcomes[_SHOWN_OUTCOMES:]
        lines.append(f"    {sum(count for _, count in rest):7} in {len(rest)} more")
    lines.append(f"  findings: {sum(found['findings_by_kind'].values())}")
    lines += [f"    {count:7} {kind}" for kind, count in found["findings_by_kind"].items()]
    for each in found["findings"]:
        lines.append(f"    number {each['number']}: {'; '.join(each['faults'])[:500]}")
        lines.append(f"      scripts/fuzz {found['target']} --replay {each['file']}")
    return "\n".join(lines)


def _mebibytes(amount: float) -> str:
    return f"{amount / (1 << 20):.0f} MiB"
