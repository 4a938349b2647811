"""`python -m supervisor`. Worker processes import this file again: it does next to nothing."""

import sys


def _supervise(guard: int) -> int:
    from supervisor.daemon import main  # noqa: PLC0415 - behind the fork: the guard stays small

    return main(guard)


if __name__ == "__main__":
    from supervisor.guard import guarded

    sys.exit(guarded(_supervise))
