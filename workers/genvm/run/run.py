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

from genvm_manager.protocol.errors import MalformedMessage
from genvm_manager.protocol.executor import decode_execution_data
from genvm_manager.protocol.host.client import HostClient
from genvm_manager.protocol.host.messages import MAX_BLOB, HostProtocolError
from genvm_manager.workers.genvm.calls.hosts import connect
from genvm_manager.workers.genvm.calls.modules import Modules
from genvm_manager.workers.genvm.calls.nondet_blocks import NondetBlocks
from genvm_manager.workers.genvm.engine.contract_clock import Pause
from genvm_manager.workers.genvm.engine.endings import ExecutorFault
from genvm_manager.workers.genvm.log import UNFORESEEN, Log

from .contract_run import ContractRun, Limits, Peers, internal_error, out_of_receipt


def run(options: Namespace) -> int:
    """Run one call as the command line says.

    Return 0 once its result is handed over, and 1 when a host is gone.
    """
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
        hosts.consume_result(_result_whatever_happens(options, hosts, pause, log))
        hosts.notify_finished()
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


def _result_whatever_happens(
    options: Namespace, hosts: HostClient, pause: Pause, log: Log
) -> bytes:
    """Return the encoded result: no contract ends the executor without one.

    Raises `HostProtocolError` when a host is gone, and nothing else.
    """
    try:
        return _result(options, hosts, pause, log)
    except HostProtocolError:
        raise
    except Exception as error:
        log.fault(error)
        return internal_error(_UNFORESEEN).encode()


_UNFORESEEN = f"{UNFORESEEN}; its log has the details"


def _result(options: Namespace, hosts: HostClient, pause: Pause, log: Log) -> bytes:
    limits = Limits(
        memory=options.memory_limit,
        seconds=options.max_seconds,
        cache_folder=options.cache_dir,
        cache_bytes=options.cache_bytes,
        runners_folder=options.runners_dir,
    )
    try:
        data = decode_execution_data(sys.stdin.buffer.read())
    except MalformedMessage as error:
        log.error(f"the execution data cannot be used: {error}")
        return internal_error(str(error)).encode()
    hosts.method_hosts = data.method_hosts
    start = time.perf_counter()
    descriptors = (options.module_llm, options.module_web)
    modules = Modules(descriptors, options.genvm_id, data.host_data, pause, log)
    nondet = NondetBlocks(hosts, data.leader_nondet_results, is_sync=options.sync)
    contract_run = ContractRun(Peers(hosts, modules, nondet, pause), limits, log)
    result = contract_run.execute(data, options.permissions)
    log.debug("run_ended", id=options.genvm_id, ms=round((time.perf_counter() - start) * 1e3, 2))
    encoded = result.encode()
    return encoded if len(encoded) <= MAX_BLOB else out_of_receipt().encode()
