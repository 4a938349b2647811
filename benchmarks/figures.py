"""Figures: the rounds of a measurement, those of its baseline, and the table of all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Figure:
    """One line of the table: the rounds of a measurement, in `unit`.

    `beside` are the rounds of the baseline; each round gives a ratio.
    """

    name: str
    unit: str
    rounds: list[float] = field(default_factory=list)
    beside_name: str = ""
    beside: list[float] = field(default_factory=list)
    note: str = ""

    def add(self, ours: float, theirs: float) -> None:
        """Add a round of both."""
        self.rounds.append(ours)
        self.beside.append(theirs)

    @property
    def ratios(self) -> list[float]:
        """This divided by the baseline, one per round."""
        return [ours / theirs for ours, theirs in zip(self.rounds, self.beside, strict=True)]

    def row(self) -> list[str]:
        """Return the cells of the table."""
        cells = [self.name, _spread(self.rounds), self.unit]
        if self.beside:
            cells += [
                f"{_spread(self.ratios)} x {self.beside_name} ({_short(median(self.beside))})"
            ]
        else:
            cells += [self.note]
        return cells

    def as_json(self) -> dict[str, object]:
        """Return all rounds, for machines."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": median(self.rounds),
            "rounds": self.rounds,
            "beside": {"name": self.beside_name, "rounds": self.beside} if self.beside else None,
            "ratio": median(self.ratios) if self.beside else None,
            "note": self.note,
        }


def milliseconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def table(figures: list[Figure]) -> str:
    """Return the figures as aligned text."""
    rows = [["what", "median (min-max)", "unit", "beside"], *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _spread(values: list[float]) -> str:
    return f"{_short(median(values))} ({_short(min(values))}-{_short(max(values))})"


def _short(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
