"""Asking LLM providers once, in a process of its own that ends with the answer."""

from __future__ import annotations

import asyncio

from genvm_manager.protocol.llm_check import ROW_TIMEOUT, ROWS_AT_ONCE, CheckRow
from genvm_manager.workers.control.messages import Check
from genvm_manager.workers.worker.identity import Identity

from .worker_process import START_TIMEOUT, WorkerProcess


async def check(identity: Identity, order: Check) -> list[CheckRow]:
    """Return the rows for each configuration and prompt of the order.

    Raises `RequestFailed` when the process fails or takes too long, and `OSError` when none can be
    started. No process is left at the end, also when this is cancelled.
    """
    process = WorkerProcess(identity, order, timeout=_timeout(order))
    try:
        await process.settled.wait()
        if process.rows is None:
            assert process.error is not None
            raise process.error
        return process.rows
    finally:
        process.kill()
        await asyncio.shield(process.gone.wait())


def _timeout(order: Check) -> float:
    """Return the seconds for the start, and for all rows one batch after the other."""
    batches = -(-len(order.configs) * len(order.prompts) // ROWS_AT_ONCE)
    return START_TIMEOUT + batches * ROW_TIMEOUT
