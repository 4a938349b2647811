"""Command line: `python -m benchmarks [NAME…] [--rounds N] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from . import calldata_codec, cold_call, pages, prompts, runs, status_endpoint, sustained
from .figures import Figure, table

BENCHMARKS: dict[str, Callable[[int], Iterator[Figure]]] = {
    "calldata": calldata_codec.figures,
    "status": status_endpoint.figures,
    "runs": runs.figures,
    "sustained": sustained.figures,
    "prompts": prompts.figures,
    "pages": pages.figures,
    "cold-call": cold_call.figures,
}


def main() -> None:
    """Run the named benchmarks, or all; print the table and write the JSON file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (default: 5)")
    parser.add_argument("--json", type=Path, default=Path(".benchmarks/figures.json"))
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - BENCHMARKS.keys())
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    figures: list[Figure] = []
    for name in arguments.names or BENCHMARKS:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        figures += BENCHMARKS[name](arguments.rounds)
    print(table(figures))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(_document(figures), indent=1) + "\n")
    print(f"\nall rounds are in {arguments.json}", file=sys.stderr)


def _document(figures: list[Figure]) -> dict[str, object]:
    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "cpus": psutil.cpu_count(),
        "figures": [figure.as_json() for figure in figures],
    }


if __name__ == "__main__":
    main()
