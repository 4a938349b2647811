"""`scripts/chaos [--seconds N] [--seed S] [--json]`: a storm against a whole service of its own.

Runs of many kinds come, while processes of the service and of the runs are killed, the service is
restarted, its permits change and clients hang up. An oracle outside it keeps what was acknowledged
and demands at the end that all of it is still true and nothing is left. Exit codes: 0, every demand
is met; 1, one is not (the seed, the demand, the runs and the place of the log are printed); 2, the
command line is wrong; 3, the service was not there to the end: it did not start, heal or stop.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from .aftermath import Aftermath
from .disturbance import Disturbances
from .oracle import Oracle
from .report import Progress, summary, text
from .service import ServiceBroken, ServiceUnderTest
from .storm import Storm
from .witnesses import Witnesses

EXIT_VIOLATED = 1
EXIT_BROKEN = 3


def main() -> int:
    arguments = _arguments()
    service = ServiceUnderTest()
    oracle = Oracle(Witnesses(service.witnessed), Disturbances())
    storm = Storm(arguments.seed, service, oracle)
    is_sound = False
    print(f"seed {arguments.seed}, in {service.folder}", file=sys.stderr, flush=True)
    try:
        is_broken = _run(arguments.seed, arguments.seconds, service, oracle, storm)
        found = summary(arguments.seed, arguments.seconds, oracle, storm)
        print(json.dumps(found, indent=1) if arguments.json else text(found))
        is_sound = not is_broken and not oracle.violations
    finally:
        if is_sound:
            service.discard()
        else:
            service.end_all()
            print(
                f"seed {arguments.seed}: log and state are kept in {service.folder}",
                file=sys.stderr,
            )
    if is_broken:
        return EXIT_BROKEN
    return 0 if is_sound else EXIT_VIOLATED


def _run(
    seed: int, seconds: float, service: ServiceUnderTest, oracle: Oracle, storm: Storm
) -> bool:
    """Whether the service broke for good."""
    progress = Progress(oracle, storm)
    try:
        service.start()
        progress.start()
        storm.rage(seconds)
        print("the storm is over; asking for everything again", file=sys.stderr, flush=True)
        Aftermath(seed, service, oracle).inspect()
    except ServiceBroken as broken:
        oracle.violated("the service heals", str(broken))
        return True
    finally:
        if progress.is_alive():
            progress.end()
    return False


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
    parser.add_argument("--json", action="store_true", help="numbers as one JSON object on stdout")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
