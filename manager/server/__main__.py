"""`python -m genvm_manager.manager.server`: the HTTP half of the service."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

EXIT_WRONG_WORDS = 2


def main(words: Sequence[str]) -> int:
    """Serve until SIGTERM, with the exit codes of `http_service.main`; 2: an argument is no
    text."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            reason = f"the argument {os.fsencode(word)!r} is not UTF-8; rename what it names"
            print(f"genvm-manager http: {reason}", file=sys.stderr)
            return EXIT_WRONG_WORDS
    # gunicorn fails on such words as soon as it is imported.
    from .service import main as serve  # noqa: PLC0415

    return serve(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
