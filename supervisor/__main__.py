"""`python -m supervisor`. Worker processes import this file again: it does next to nothing."""

import os
import sys


def _supervise(guard: int) -> int:
    # Our metrics are ours alone: the library would put them into the files of whoever starts us.
    for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        os.environ.pop(name, None)
    from supervisor.daemon import main  # noqa: PLC0415 - behind the fork: the guard stays small

    return main(guard)


if __name__ == "__main__":
    from supervisor.guard import guarded

    sys.exit(guarded(_supervise))
