"""`scripts/fuzz [TARGET…] [--seconds N | --inputs N] [--seed S] [--first N] [--json]`, or
`scripts/fuzz TARGET --replay FILE…`: odd inputs against all that reads what others wrote.

Without a target all are fuzzed, one after another, `--seconds` each. Every input is a function of
the seed, the target and its number, so `--seed S --first N --inputs 1` makes one again. A finding
is an input at which something happened that may not; it is kept as a file, together with a text
that says what. Exit codes: 0, nothing was found; 1, something was (the summary has the commands
that replay it); 2, the command line is wrong; 130, interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from .campaign import Campaign
from .observation import Observation
from .report import progress, say, summary, text
from .targets import TARGETS

EXIT_FOUND = 1
EXIT_INTERRUPTED = 130


def main() -> int:
    arguments = _arguments()
    names = arguments.targets or list(TARGETS)
    try:
        if arguments.replay:
            return _replay(names[0], arguments.replay)
        return _fuzz(names, arguments)
    except KeyboardInterrupt:
        say("interrupted")
        return EXIT_INTERRUPTED


def _fuzz(names: list[str], arguments: argparse.Namespace) -> int:
    found = []
    for name in names:
        say(f"{name}: {TARGETS[name].about}; seed {arguments.seed}")
        campaign = Campaign(TARGETS[name], arguments.seed, arguments.first, arguments.folder)
        tally = campaign.run(arguments.seconds, arguments.inputs, progress())
        found.append(summary(tally))
        if not arguments.json:
            print(text(found[-1]), flush=True)
    if arguments.json:
        print(json.dumps(found, indent=1))
    return EXIT_FOUND if any(each["findings_by_kind"] for each in found) else 0


def _replay(name: str, paths: list[Path]) -> int:
    target = TARGETS[name]
    exit_code = 0
    with target.open() as tester:
        for path, observation in zip(
            paths, tester([path.read_bytes() for path in paths]), strict=True
        ):
            print(f"{path}: {_described(observation)}", flush=True)
            exit_code = EXIT_FOUND if observation.faults else exit_code
    return exit_code


def _described(observation: Observation) -> str:
    faults = "".join(f"\n  {fault}" for fault in observation.faults)
    return (
        f"{observation.outcome}, {observation.seconds:.2f} s of processor time, "
        f"{observation.memory >> 20} MiB{faults}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="targets:\n"
        + "\n".join(f"  {each.name:14} {each.about}" for each in TARGETS.values()),
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="of those below")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each (default: 60)")
    parser.add_argument("--inputs", type=int, help="try exactly so many of each, however long")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="of all inputs (default: the time)"
    )
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE", help="try these inputs")
    parser.add_argument(
        "--findings",
        dest="folder",
        type=Path,
        default=Path("fuzz-findings"),
        metavar="DIR",
        help="where findings are kept (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="the summary as JSON on stdout")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.targets if name not in TARGETS]
    if unknown:
        parser.error(f"TARGET: {unknown[0]!r} is none of {', '.join(TARGETS)}")
    if arguments.replay and len(arguments.targets) != 1:
        parser.error("--replay: name the one target whose inputs the files are")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
