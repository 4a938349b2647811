"""Has the system refuse processes and threads to some processes, and to nobody else."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

_USER = 50_000 + os.getpid() % 10_000
"""Who is nobody else here: what they may have is counted by user."""

_CAPABILITIES = "-all,+dac_override,+dac_read_search"
COMMON_USER = (
    "setpriv",
    f"--reuid={_USER}",
    f"--regid={_USER}",
    "--clear-groups",
    f"--inh-caps={_CAPABILITIES}",
    f"--ambient-caps={_CAPABILITIES}",
)
"""What begins so is another user's, to whom limits apply, and can read all that tests are made
of."""

as_common_user = COMMON_USER if os.geteuid() == 0 else ()

takes_another_user = pytest.mark.skipif(
    os.geteuid() != 0 or not (shutil.which("setpriv") and shutil.which("prlimit")),
    reason="root, setpriv and prlimit give processes a user that runs nothing else",
)


@contextmanager
def nothing_new(*processes: psutil.Process) -> Iterator[None]:
    """Refuse these processes to start processes and threads, while the context is entered.

    The limit is theirs alone, but counts all that their user has: more than one.
    """
    before = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    for each in processes:
        limit(each, 1)
    try:
        yield
    finally:
        for each in processes:
            if each.is_running():
                limit(each, before)


def limit(process: psutil.Process, most: int) -> None:
    """Set how many processes and threads its user may have for it to start another one."""
    word = "unlimited" if most == resource.RLIM_INFINITY else str(most)
    command = ["prlimit", f"--pid={process.pid}", f"--nproc={word}:"]
    subprocess.run([*as_common_user, *command], check=True)
