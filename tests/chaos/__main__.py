"""Chaos test: `scripts/chaos [--seconds N] [--seed S] [--json]` against a service of its own.

Clients start runs of many kinds, while processes of the service and of the runs are killed, the
service is restarted, its permits change and clients hang up. An oracle outside the service keeps
what was acknowledged, and checks at the end that all of it is still true and that nothing is left
behind. Exit codes: 0, every rule holds; 1, a rule is violated (the seed, the rule, the runs and the
place of the log are printed); 2, the command line is wrong; 3, the service did not start, heal or
stop; 130, interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from .chaos_run import ChaosRun
from .checker import Checker
from .disturbance import Disturbances
from .oracle import Oracle
from .recordings import Recordings
from .report import progress, summary, text
from .service import ServiceUnderTest, ServiceUnhealthy

EXIT_VIOLATED = 1
EXIT_UNHEALTHY = 3
EXIT_INTERRUPTED = 130


def main() -> int:
    """Run the chaos test and return its exit code."""
    arguments = _arguments()
    service = ServiceUnderTest(arguments.cgroup)
    _say(f"seed {arguments.seed}, in {service.folder}")
    exit_code = EXIT_INTERRUPTED
    try:
        exit_code = _run(arguments, service)
    except KeyboardInterrupt:
        _say("interrupted")
    finally:
        if exit_code in (0, EXIT_INTERRUPTED):
            service.discard()
        else:
            service.end_all()
            _say(f"seed {arguments.seed}: log and state are kept in {service.folder}")
    return exit_code


def _run(arguments: argparse.Namespace, service: ServiceUnderTest) -> int:
    """Run the chaos, check the service afterwards and print the report; return the exit code."""
    oracle = Oracle(Recordings(service.recordings_folder), Disturbances())
    chaos = ChaosRun(arguments.seed, service, oracle)
    exit_code = 0
    with progress(oracle, chaos):
        try:
            service.start()
            chaos.run(arguments.seconds)
            _say("no more faults from now on; checking everything again")
            Checker(arguments.seed, service, oracle).check()
        except ServiceUnhealthy as error:
            oracle.violated("the service heals", str(error))
            exit_code = EXIT_UNHEALTHY
    found = summary(arguments.seed, arguments.seconds, oracle, chaos)
    print(json.dumps(found, indent=1) if arguments.json else text(found))
    return exit_code or (EXIT_VIOLATED if oracle.violations else 0)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="duration of the faults (default: 60)"
    )
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="seed of all decisions (default: time)"
    )
    parser.add_argument(
        "--cgroup", help="a delegated cgroup, to give each run its own; allows more kinds of faults"
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
