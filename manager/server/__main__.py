"""`python -m genvm_manager.manager.server`: the HTTP half of the service."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

EXIT_USAGE = 2


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; return the exit code of `service.main`, or 2 when an argument is not
    UTF-8.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            reason = f"the argument {os.fsencode(argument)!r} is not UTF-8; rename what it names"
            print(f"genvm-manager http: {reason}", file=sys.stderr)
            return EXIT_USAGE
    # Only now: gunicorn fails on such arguments as soon as it is imported.
    from .service import main as serve  # noqa: PLC0415

    return serve(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
