"""Executors forked from a process that has imported them: half the cost of one that starts anew.

For tests of what contracts do, by the hundred. How an executor starts, `node_host` shows.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import sys
import threading
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any

from genvm_manager.protocol.executor import ExecutionData, ModuleDescriptors, RunArguments
from genvm_manager.protocol.permissions import DEFAULT_PERMISSIONS
from genvm_manager.protocol.run_result import decode_result
from genvm_manager.workers.genvm import cli

from .module_server import ModuleServer
from .node_host import DEADLINE, Ended, NodeHost

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__, "genvm_manager.workers.genvm.run.run"])
_LOG, _RESULT, _FIRST_MODULE = 3, 4, 5
"""Descriptors in the executor, after stdin, stdout and stderr."""


def run_forked(
    host: str,
    data: ExecutionData,
    *,
    permissions: str = DEFAULT_PERMISSIONS,
    modules: tuple[ModuleServer, ...] = (),
) -> Ended:
    """Run one call on the host at `host`, and gather all that it says, as `run_executor` does."""
    ours, theirs = socket.socketpair()
    results = NodeHost()
    server = threading.Thread(target=results.serve, args=(ours,), daemon=True)
    server.start()
    files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr", "log")]
    stdin, stdout, stderr, log = files
    asked = [module.connect() for module in modules]
    os.write(stdin, data.encode())
    os.lseek(stdin, 0, os.SEEK_SET)
    arguments = RunArguments(
        log_fd=_LOG,
        extra_args=[],
        is_sync=False,
        host=host,
        result_fd=_RESULT,
        permissions=permissions,
        modules=ModuleDescriptors(*range(_FIRST_MODULE, _FIRST_MODULE + len(asked))),
        genvm_id=1,
    )
    passed = [*files, theirs.fileno(), *(each.fileno() for each in asked)]
    process = _CONTEXT.Process(
        target=_execute, args=(arguments.argv(), [_Descriptor(each) for each in passed])
    )
    process.start()
    for connection in (theirs, *asked):
        connection.close()
    process.join(DEADLINE)
    assert process.exitcode is not None, "the executor does not end"
    server.join(DEADLINE)
    wrote, complained, logged = (_content(each) for each in (stdout, stderr, log))
    os.close(stdin)
    result = decode_result(results.results[0]) if results.results else None
    records = [json.loads(line) for line in logged.splitlines()]
    return Ended(process.exitcode, result, wrote, complained, records)


def _content(file: int) -> bytes:
    with open(file, "rb") as opened:
        opened.seek(0)
        return opened.read()


class _Descriptor:
    """An open file that goes along to the process whose argument it is."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Callable[..., int], tuple[Any, ...]]:
        return _detach, (reduction.DupFd(self._number),)


def _detach(passed: Any) -> int:
    number: int = passed.detach()
    return number


def _execute(arguments: list[str], descriptors: list[int]) -> None:
    """Be the executor, with `descriptors` from 0 on."""
    above = [os.dup(each) for each in descriptors]
    while min(above) < len(descriptors):
        above = [os.dup(each) for each in above]
    for number, descriptor in enumerate(above):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (multiprocessing has put another file there)
    sys.exit(cli.main(arguments))
