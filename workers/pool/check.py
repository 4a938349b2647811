"""Asking providers once, in a process of its own that ends with the answer."""

from __future__ import annotations

import asyncio

from genvm_manager.base.errors import ManagerError, RequestFailed
from genvm_manager.protocol.llm_check import ROW_TIMEOUT, ROWS_AT_ONCE, CheckRow
from genvm_manager.workers.control.messages import Check, Checked, Failed, FromWorker
from genvm_manager.workers.worker.identity import Identity

from .process import WorkerProcess
from .worker import START_TIMEOUT


async def check(identity: Identity, order: Check) -> list[CheckRow]:
    """The rows for each configuration and prompt of the order.

    Raises `RequestFailed` when the process fails or takes too long, `OSError` when there is none.
    No process is left, nor when it is cancelled.
    """
    answered: asyncio.Future[list[CheckRow]] = asyncio.get_running_loop().create_future()

    def receive(message: FromWorker) -> None:
        if isinstance(message, Checked) and not answered.done():
            answered.set_result(message.rows)
        elif isinstance(message, Failed):
            fail(message.error())

    def fail(error: ManagerError) -> None:
        if not answered.done():
            answered.set_exception(error)

    def ended(how: str) -> None:
        fail(RequestFailed(f"the process that asks the providers {how}"))

    process = WorkerProcess(identity, receive, ended)
    try:
        process.send(order)
        async with asyncio.timeout(_timeout(order)):
            return await answered
    except TimeoutError:
        raise RequestFailed("the process that asks the providers does not answer") from None
    finally:
        process.kill()
        await asyncio.shield(process.gone.wait())


def _timeout(order: Check) -> float:
    """Seconds: its start, and all rows one batch after the other."""
    batches = -(-len(order.configs) * len(order.prompts) // ROWS_AT_ONCE)
    return START_TIMEOUT + batches * ROW_TIMEOUT
