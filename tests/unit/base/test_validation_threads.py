"""Structs are validated by many threads at once, the very first time as well."""

from __future__ import annotations

import subprocess
import sys

from tests.support.waiting import TIMEOUT

FIRST_USE_BY_MANY = """
import sys, threading
from genvm_manager.protocol.run_request import RunRequest
from genvm_manager.protocol.bodies import from_json

address = "0x" + "11" * 20
body = b'''{
    "major": 0, "calldata": "", "timestamp": "2026-01-01T00:00:00Z", "host": "unix:///x",
    "is_sync": true,
    "message": {"contract_address": "A", "sender_address": "A", "origin_address": "A",
                "chain_id": 1, "is_init": false}
}'''.replace(b"A\\"", address.encode() + b"\\"")
go = threading.Event()

def use():
    go.wait()
    from_json(body, RunRequest)

sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=use) for _ in range(16)]
for thread in threads:
    thread.start()
go.set()
for thread in threads:
    thread.join()
"""


def test_the_first_use_of_a_struct_may_come_from_many_threads_at_once() -> None:
    # Without the lock in `json_decoder` about every third of these processes is ended by SIGSEGV.
    for _ in range(8):
        ended = subprocess.run(
            [sys.executable, "-c", FIRST_USE_BY_MANY],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
