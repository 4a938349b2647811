"""`scripts/chaos [--seconds N] [--seed S] [--json]`: a storm against a whole service of its own.

Runs of many kinds come, while processes of the service and of the runs are killed, the service is
restarted, its permits change and clients hang up. An oracle outside it keeps what was acknowledged
and demands at the end that all of it is still true and nothing is left. Exit codes: 0, every demand
is met; 1, one is not (the seed, the demand, the runs and the place of the log are printed); 2, the
command line is wrong; 3, the service was not there to the end: it did not start, heal or stop; 130,
interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from .aftermath import Aftermath
from .disturbance import Disturbances
from .oracle import Oracle
from .report import progress, summary, text
from .service import ServiceBroken, ServiceUnderTest
from .storm import Storm
from .witnesses import Witnesses

EXIT_VIOLATED = 1
EXIT_BROKEN = 3
EXIT_INTERRUPTED = 130


def main() -> int:
    arguments = _arguments()
    service = ServiceUnderTest(arguments.cgroup)
    _say(f"seed {arguments.seed}, in {service.folder}")
    exit_code = EXIT_INTERRUPTED
    try:
        exit_code = _weather(arguments, service)
    except KeyboardInterrupt:
        _say("interrupted")
    finally:
        if exit_code in (0, EXIT_INTERRUPTED):
            service.discard()
        else:
            service.end_all()
            _say(f"seed {arguments.seed}: log and state are kept in {service.folder}")
    return exit_code


def _weather(arguments: argparse.Namespace, service: ServiceUnderTest) -> int:
    """The storm, what comes after it, and the report; the exit code."""
    oracle = Oracle(Witnesses(service.witnessed), Disturbances())
    storm = Storm(arguments.seed, service, oracle)
    exit_code = 0
    with progress(oracle, storm):
        try:
            service.start()
            storm.rage(arguments.seconds)
            _say("the storm is over; asking for everything again")
            Aftermath(arguments.seed, service, oracle).inspect()
        except ServiceBroken as broken:
            oracle.violated("the service heals", str(broken))
            exit_code = EXIT_BROKEN
    found = summary(arguments.seed, arguments.seconds, oracle, storm)
    print(json.dumps(found, indent=1) if arguments.json else text(found))
    return exit_code or (EXIT_VIOLATED if oracle.violations else 0)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of storm (default: 60)")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="of all decisions (default: the time)"
    )
    parser.add_argument("--cgroup", help="of ours, for one cgroup a run; more may be killed then")
    parser.add_argument("--json", action="store_true", help="numbers as one JSON object on stdout")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
