"""Processes that are refused threads or children: they say so, and what they have goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genvm_manager.base.process.exhaustion import EX_TEMPFAIL, is_exhaustion
from genvm_manager.protocol.run_result import ResultCode
from tests.support.calls import Chain
from tests.support.exhaustion import as_common_user, takes_another_user
from tests.support.node_host import BUILT_IN
from tests.support.service import PROJECT
from tests.support.wat import returns

POOLS = """
import asyncio, resource, threading
from genvm_manager.base.process.threads import loop_threads, start_thread, started_threads

def limit(most):
    resource.setrlimit(resource.RLIMIT_NPROC, (most, resource.getrlimit(resource.RLIMIT_NPROC)[1]))

def refused(work):
    try:
        work()
    except BlockingIOError as error:
        return error.strerror == "the system has no thread to spare"

limit(4)
assert refused(lambda: [started_threads("pool", 8)])
limit(1)
assert refused(lambda: start_thread(threading.Thread(target=print)))
assert refused(lambda: started_threads("pool", 2, 0.3))
limit(100)
pool = started_threads("pool", 3)
async def look():
    loop = asyncio.get_running_loop()
    loop.set_default_executor(loop_threads())
    limit(1)
    assert [pool.submit(pow, 2, n).result() for n in range(9)] == [2**n for n in range(9)]
    assert await asyncio.gather(*(asyncio.to_thread(pow, 2, n) for n in range(99)))
    assert await loop.getaddrinfo("localhost", 80)
    limit(100)
asyncio.run(look())
print("done")
"""

BROWSER = """
import asyncio, resource
from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.process.threads import loop_threads
from genvm_manager.workers.web.browser.pool import BrowserPool

async def look():
    asyncio.get_running_loop().set_default_executor(loop_threads())
    resource.setrlimit(resource.RLIMIT_NPROC, (1, resource.getrlimit(resource.RLIMIT_NPROC)[1]))
    pool = BrowserPool("/bin/sleep", 1, 1 << 30, event_log(""))
    strictest = pool.isolation
    await pool.settled()
    assert pool.isolation == strictest
    print(pool._refusal)
    await pool.close()
asyncio.run(look())
"""


def limited(most: int, *command: str) -> subprocess.CompletedProcess[str]:
    """A command whose user may have so many processes and threads in all."""
    return subprocess.run(
        [*as_common_user, "prlimit", f"--nproc={most}:", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=PROJECT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


@takes_another_user
def test_threads_are_started_at_once_or_refused_as_a_fork_is() -> None:
    ended = limited(100, sys.executable, "-c", POOLS)
    assert ended.stdout == "done\n", ended.stderr


@takes_another_user
def test_a_browser_that_is_refused_a_process_is_not_tried_with_less_isolation() -> None:
    ended = limited(100, sys.executable, "-c", BROWSER)
    refused = (
        "/bin/sleep cannot be started: [Errno 11] Resource temporarily unavailable: '/bin/sleep'"
    )
    assert ended.stdout == f"{refused}\n", ended.stderr


@takes_another_user
@pytest.mark.parametrize(
    ("most", "message"),
    [
        (1, "no process for the supervisor: Resource temporarily unavailable"),
        (2, "genvm-manager supervisor: the system has no thread to spare"),
    ],
)
def test_a_supervisor_that_cannot_start_now_says_so_with_a_code_of_its_own(
    tmp_path: Path, most: int, message: str
) -> None:
    state = str(tmp_path / "state")
    ended = limited(most, sys.executable, "-m", "genvm_manager.supervisor", "--state-dir", state)
    assert ended.returncode == EX_TEMPFAIL, ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


@takes_another_user
def test_a_contract_that_gets_no_thread_is_no_fault_of_its_own(
    chain: Chain, tmp_path: Path
) -> None:
    alone = (*as_common_user, "prlimit", "--nproc=1:")
    cache = ("--cache-dir", str(tmp_path / "cache"))
    result = chain.result({}, returns("here"), command=(*alone, *BUILT_IN), options=cache)
    assert (result.code, result.data) == (
        ResultCode.INTERNAL_ERROR,
        "the system has no thread to spare for a contract; run it again later",
    )


def test_what_passes_and_what_does_not() -> None:
    assert is_exhaustion(BlockingIOError(11, "again")) and is_exhaustion(OSError(12, "memory"))
    assert not is_exhaustion(FileNotFoundError(2, "gone")) and not is_exhaustion(None)
