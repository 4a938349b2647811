"""The kinds of runs that clients start. A new kind is one more line of `KINDS`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

Orders = Mapping[str, float]

CHILDREN = Path(__file__).resolve().parent.parent / "children"
MEMORY_LIMIT = 100 << 20
"""Bytes of memory that the service allows a run."""

_DEADLINE = (30.0, 30.0)
_SOON = (0.3, 3.0)


def _no_orders(_: Random) -> Orders:
    return {}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of run.

    `weight`: how often it is drawn, relative to the others. `program`: a file of `tests/children`,
    or None for one that does not exist, so that the run is refused. `ends`: how the run may end
    when no fault hits it: `code N`, `signal N`, or a cause. `deadline`: the least and most seconds
    of the run's deadline.
    """

    name: str
    weight: int
    program: str | None
    ends: frozenset[str]
    orders: Callable[[Random], Orders] = _no_orders
    deadline: tuple[float, float] = _DEADLINE


def _ends(*endings: str) -> frozenset[str]:
    return frozenset(endings)


_OBEYS = "takes_orders"

KINDS = (
    Kind("quick", 60, _OBEYS, _ends("code 0"), lambda r: {"result": r.randrange(2_000)}),
    Kind("silent", 10, _OBEYS, _ends("code 0")),
    Kind("works", 8, _OBEYS, _ends("code 0"), lambda r: {"spin": r.uniform(0, 0.2), "result": 9}),
    Kind("naps", 10, _OBEYS, _ends("code 0"), lambda r: {"sleep": r.uniform(0, 1), "result": 99}),
    Kind(
        "stays",
        10,
        _OBEYS,
        _ends("code 0"),
        lambda r: {"result": 9, "sleep_after": r.uniform(0, 2)},
    ),
    Kind("bulky", 4, _OBEYS, _ends("code 0"), lambda r: {"result": r.randrange(300_000)}),
    Kind("fails", 5, _OBEYS, _ends("code 3"), lambda r: {"sleep": r.uniform(0, 0.1), "exit": 3}),
    Kind("crashes", 5, _OBEYS, _ends("signal 10"), lambda r: {"result": 9, "signal": 10}),
    Kind("prints", 6, _OBEYS, _ends("code 0"), lambda r: {"print": r.randrange(200_000)}),
    Kind("logs", 4, _OBEYS, _ends("code 0"), lambda r: {"log": r.randrange(100_000)}),
    Kind("loops", 2, _OBEYS, _ends("deadline"), lambda r: {"spin": 600}, (0.1, 0.6)),
    Kind("greedy", 1, _OBEYS, _ends("memory"), lambda r: {"memory": 150 << 20, "sleep": 600}),
    Kind("floods", 1, "floods_stdout", _ends("code 0")),
    Kind("floods log", 1, "floods_log", _ends("code 0")),
    Kind("forks", 4, "forks_grandchild", _ends("code 0")),
    Kind("hides", 4, "hides_a_daemon", _ends("deadline"), deadline=_SOON),
    Kind("keeps", 3, "keeps_a_daemon", _ends("deadline"), deadline=_SOON),
    Kind("deaf", 4, "ignores_term", _ends("deadline"), deadline=_SOON),
    Kind("polite", 4, "obeys_term", _ends("deadline"), deadline=_SOON),
    Kind("stuck", 3, "never_connects", _ends("deadline"), deadline=_SOON),
    Kind("idles", 3, "lingers_after_its_result", _ends("deadline"), deadline=_SOON),
    Kind("dies", 3, "dies_midway", _ends("signal 9")),
    Kind("litters", 4, "litters", _ends("code 0")),
    Kind("insists", 3, "sends_two_results", _ends("code 0", "code 1")),
    Kind("strays", 3, "sends_wrong_method", _ends("code 0", "code 1")),
    Kind("absent", 2, None, _ends()),
)

_WEIGHTS = [kind.weight for kind in KINDS]


def drawn(random: Random) -> Kind:
    """Return one of the kinds, by weight."""
    return random.choices(KINDS, _WEIGHTS)[0]


def major(kind: Kind) -> int:
    """Return the public-ABI major under which the manifest offers a kind."""
    return KINDS.index(kind) + 1


def manifest(recordings_folder: Path) -> str:
    """Return a manifest that offers each kind; its programs write to `recordings_folder`."""
    lines = ["executor_versions:"]
    for kind in KINDS:
        lines.append(f"  v{major(kind)}.0.0:")
        lines.append("    available_after: 2024-01-01T00:00:00Z")
        lines.append(f"    command: {_command(kind, recordings_folder)}")
    return "\n".join(lines) + "\n"


def _command(kind: Kind, recordings_folder: Path) -> list[str]:
    if kind.program is None:
        return [f"{recordings_folder}/no such program"]
    recorder = str(CHILDREN / "recorder.py")
    return [sys.executable, "-S", "-E", recorder, str(recordings_folder), kind.program]
