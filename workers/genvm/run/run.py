"""The command `run`: execution data in, one contract call, its result to the hosts.

Source: docs/spec/04-executor.md.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from argparse import Namespace
from contextlib import suppress
from typing import NamedTuple

from genvm_manager.protocol.errors import MalformedMessage
from genvm_manager.protocol.executor import ExecutionData, decode_execution_data
from genvm_manager.protocol.host.client import HostClient
from genvm_manager.protocol.host.messages import MAX_BLOB, HostProtocolError
from genvm_manager.workers.genvm.calls.hosts import connect
from genvm_manager.workers.genvm.calls.modules import Modules
from genvm_manager.workers.genvm.calls.nondet_blocks import NondetBlocks
from genvm_manager.workers.genvm.engine.contract_clock import Pause
from genvm_manager.workers.genvm.engine.endings import ExecutorFault
from genvm_manager.workers.genvm.log import UNFORESEEN, Log
from genvm_manager.workers.genvm.stop_request import STOP, Stopped

from .contract_run import (
    ContractRun,
    Limits,
    Peers,
    internal_error,
    out_of_receipt,
    timed_out,
)

_STOP_SECONDS = 0.2
"""Seconds that the guests of a run may take to end once it was told to stop. They need a few
milliseconds, unless they wait for somebody."""

_LEAVE_SECONDS = 1.0
"""Seconds that a stopped run waits for the answer to its last question, so that a node that is
merely slow does not find the connection closed."""

_TOLD_TO_STOP = "the run was told to stop (SIGTERM): it ends as timeout"


def run(options: Namespace) -> int:
    """Run one call as the command line says.

    Return 0 once its result is handed over, and 1 when a host is gone.
    """
    STOP.listen()
    gc.freeze()
    gc.enable()
    _hold_standard_descriptors()
    log = Log(options.log_fd, debug=options.debug_mode != "disabled")
    _write_down_all_faults(log)
    try:
        return _run(options, log)
    except Exception as error:
        log.fault(error)
        return _failed(log, _UNFORESEEN)


def _run(options: Namespace, log: Log) -> int:
    pause = Pause()
    try:
        hosts = connect(options.hosts, pause)
    except ExecutorFault as error:
        return _failed(log, str(error))
    try:
        ending = _ending_whatever_happens(options, hosts, pause, log)
        if ending.may_wait:
            hosts.consume_result(ending.result)
            hosts.notify_finished()
        else:
            hosts.leave(ending.result, _LEAVE_SECONDS)
    except HostProtocolError as error:
        with suppress(HostProtocolError):  # The result's host may be the one that is left.
            hosts.consume_result(internal_error(str(error)).encode())
        return _failed(log, str(error))
    return 0


def _write_down_all_faults(log: Log) -> None:
    """Log what Python would print, as it may name paths of this machine."""
    sys.unraisablehook = lambda what: log.fault(what.exc_value or what.exc_type())
    threading.excepthook = lambda what: log.fault(what.exc_value or what.exc_type())


def _failed(log: Log, reason: str) -> int:
    log.error(f"the run failed: {reason}")
    print(f"genvm: {reason}", file=sys.stderr)
    return 1


def _hold_standard_descriptors() -> None:
    """Open the null device where stdin, stdout or stderr is closed.

    Otherwise a socket would get its number, and a contract would print into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


class _Ending(NamedTuple):
    """An encoded result. `may_wait`: no guest is left that waits for an answer of a host."""

    result: bytes
    may_wait: bool = True


def _ending_whatever_happens(
    options: Namespace, hosts: HostClient, pause: Pause, log: Log
) -> _Ending:
    """Return how the run ended: no contract ends the executor without a result.

    Raises `HostProtocolError` when a host is gone, and nothing else.
    """
    try:
        return _ending(options, hosts, pause, log)
    except HostProtocolError:
        raise
    except Exception as error:
        log.fault(error)
        return _Ending(internal_error(_UNFORESEEN).encode())


_UNFORESEEN = f"{UNFORESEEN}; its log has the details"


def _ending(options: Namespace, hosts: HostClient, pause: Pause, log: Log) -> _Ending:
    try:
        data = decode_execution_data(STOP.interruptible(sys.stdin.buffer.read))
    except MalformedMessage as error:
        log.error(f"the execution data cannot be used: {error}")
        return _Ending(internal_error(str(error)).encode())
    except Stopped:
        log.warning(_TOLD_TO_STOP)
        return _Ending(timed_out().encode())
    hosts.method_hosts = data.method_hosts
    start = time.perf_counter()
    contract_run = _contract_run(options, data, hosts, pause, log)
    try:
        result = STOP.interruptible(lambda: contract_run.execute(data, options.permissions))
    except Stopped:
        log.warning(_TOLD_TO_STOP)
        contract_run.stop(_STOP_SECONDS)
        is_asked = hosts.close_to_guests()
        return _Ending(contract_run.timed_out().encode(), may_wait=not is_asked)
    log.debug("run_ended", id=options.genvm_id, ms=round((time.perf_counter() - start) * 1e3, 2))
    encoded = result.encode()
    return _Ending(encoded if len(encoded) <= MAX_BLOB else out_of_receipt().encode())


def _contract_run(
    options: Namespace, data: ExecutionData, hosts: HostClient, pause: Pause, log: Log
) -> ContractRun:
    limits = Limits(
        memory=options.memory_limit,
        seconds=options.max_seconds,
        cache_folder=options.cache_dir,
        cache_bytes=options.cache_bytes,
        runners_folder=options.runners_dir,
    )
    descriptors = (options.module_llm, options.module_web)
    modules = Modules(descriptors, options.genvm_id, data.host_data, pause, log)
    nondet = NondetBlocks(hosts, data.leader_nondet_results, is_sync=options.sync)
    return ContractRun(Peers(hosts, modules, nondet, pause), limits, log)
