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

from genvm_manager.protocol.executor import ExecutionDataError, decode_execution_data
from genvm_manager.protocol.host import MAX_BLOB, HostProtocolError
from genvm_manager.workers.genvm.calls.hosts import Hosts, HostUnreachable, connect
from genvm_manager.workers.genvm.calls.modules import Modules
from genvm_manager.workers.genvm.calls.nondet_blocks import NondetBlocks

from .contract_run import ContractRun, Limits, internal_error, out_of_memory
from .log import UNFORESEEN, Log


def run(options: Namespace) -> int:
    """Run one call as the command line says.

    0 once its result is handed over, 1 when a host is gone.
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
    try:
        hosts = connect(options.hosts)
    except HostUnreachable as error:
        return _failed(log, str(error))
    try:
        hosts.consume_result(_result_whatever_happens(options, hosts, log))
        hosts.notify_finished()
    except HostProtocolError as error:
        with suppress(HostProtocolError):  # The result's host may be the one that is left.
            hosts.consume_result(internal_error(str(error)).encode())
        return _failed(log, str(error))
    return 0


def _write_down_all_faults(log: Log) -> None:
    """Have what Python would print, paths of this machine included, in our log instead."""
    sys.unraisablehook = lambda what: log.fault(what.exc_value or what.exc_type())
    threading.excepthook = lambda what: log.fault(what.exc_value or what.exc_type())


def _failed(log: Log, reason: str) -> int:
    log.error(f"the run failed: {reason}")
    print(f"genvm: {reason}", file=sys.stderr)
    return 1


def _hold_standard_descriptors() -> None:
    """Where stdout or stderr is closed, see that no socket takes its number: a contract prints
    there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _result_whatever_happens(options: Namespace, hosts: Hosts, log: Log) -> bytes:
    """The encoded result. No contract ends the executor without one; only a host's loss does."""
    try:
        return _result(options, hosts, log)
    except HostProtocolError:
        raise
    except Exception as error:
        log.fault(error)
        return internal_error(_UNFORESEEN).encode()


_UNFORESEEN = f"{UNFORESEEN}; its log has the details"


def _result(options: Namespace, hosts: Hosts, log: Log) -> bytes:
    limits = Limits(
        options.memory_limit, options.max_seconds, options.cache_dir, options.cache_bytes
    )
    try:
        data = decode_execution_data(sys.stdin.buffer.read())
    except ExecutionDataError as error:
        log.error(f"the execution data cannot be used: {error}")
        return internal_error(str(error)).encode()
    hosts.method_hosts = data.method_hosts
    start = time.perf_counter()
    descriptors = (options.module_llm, options.module_web)
    modules = Modules(descriptors, options.genvm_id, data.host_data, hosts.pause, log)
    nondet = NondetBlocks(hosts, data.leader_nondet_results, is_sync=options.sync)
    contract_run = ContractRun(hosts, modules, nondet, limits, log)
    result = contract_run.execute(data, options.permissions)
    log.debug("run_ended", id=options.genvm_id, ms=round((time.perf_counter() - start) * 1e3, 2))
    encoded = result.encode()
    return encoded if len(encoded) <= MAX_BLOB else out_of_memory().encode()
