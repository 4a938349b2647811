"""Owns a pool of two workers, one of them at work and with a child; prints their pids and waits."""

from __future__ import annotations

import asyncio
import sys

from tests.support.pool import PoolUnderTest


async def main(doing: str) -> None:
    """Start the pool, send it a request, and wait."""
    pool = PoolUnderTest(workers=2)
    await pool.start()
    executor = await pool.greeted()
    child = await executor.ask("Spawn")
    await executor.request(doing, 600_000)
    print(*pool.pids, child, flush=True)
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
