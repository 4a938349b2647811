"""Keeps one browser running: starts it with the worker, and again whenever it has ended."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.process.backoff import Backoff
from genvm_manager.workers.web.faults import BROWSER_UNAVAILABLE, WebFault

from .browser import (
    Browser,
    BrowserUnavailable,
    Isolation,
    find_browser,
    isolations,
)

_LONGEST_PAUSE = 30.0
"""Seconds between two starts of a browser that ends again and again."""

_USEFUL_LIFE = 10.0
"""Seconds after which a browser's end does not count as a failure: a page can end a browser."""

_MEMORY_CHECK = 0.3
"""Seconds between two checks of the browser's memory, while it has pages."""


class BrowserPool:
    """Provides its browser for up to `max_pages` pages at once."""

    def __init__(
        self, path: str | None, max_pages: int, max_page_memory: int, log: EventLog
    ) -> None:
        self._path = path
        self._max_page_memory = max_page_memory
        self._log = log
        self._pages = asyncio.Semaphore(max_pages)
        self._in_use = 0
        self._browser: Browser | None = None
        self._refusal: str | None = None
        self._changed = asyncio.Condition()
        self._isolations = isolations()
        self._restarting = asyncio.create_task(self._restart_loop())
        self._watching = asyncio.create_task(self._watch_memory())

    async def settled(self) -> None:
        """Wait until the browser answers, or until it is known why there is none."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._browser or self._refusal)

    @asynccontextmanager
    async def acquire(self, url: str) -> AsyncIterator[Browser]:
        """Acquire the browser for one page. Raises `WebFault` without a browser."""
        async with self._pages:
            await self.settled()
            if self._browser is None:
                raise WebFault(BROWSER_UNAVAILABLE, url, self._refusal or "")
            self._in_use += 1
            try:
                yield self._browser
            finally:
                self._in_use -= 1

    @property
    def isolation(self) -> Isolation:
        """The strictest isolation that has not failed on this machine."""
        return self._isolations[0]

    async def close(self) -> None:
        """End the browser."""
        for task in (self._restarting, self._watching):
            task.cancel()
        await asyncio.gather(self._restarting, self._watching, return_exceptions=True)
        if self._browser is not None:
            await self._browser.stop()

    async def _restart_loop(self) -> None:
        backoff = Backoff()
        ends: deque[float] = deque(maxlen=backoff.max_crashes)
        while True:
            began = time.monotonic()
            try:
                refusal = await self._run_once()
            except Exception:
                self._log.failure("browser_pool_failed")
                refusal = "the browser cannot be supervised; see the module's log"
            now = time.monotonic()
            if refusal is not None or now - began < _USEFUL_LIFE:
                ends.append(now)
            pause = backoff.next_delay(ends, now)
            if pause is None:
                pause = _LONGEST_PAUSE
                refusal = refusal or "the browser ends again and again; next start within 30 s"
            await self._offer(None, refusal)
            await asyncio.sleep(pause)

    async def _run_once(self) -> str | None:
        """Run one browser from its start to its end; return why it could not start, or None."""
        try:
            browser = await self._start()
        except BrowserUnavailable as error:
            if str(error) != self._refusal:
                self._log.warning("browser_unavailable", reason=str(error))
            return str(error)
        await self._offer(browser, None)
        await asyncio.shield(browser.tools.gone)
        await self._offer(None, None)
        await browser.stop()
        self._log.warning("browser_ended", browser_pid=browser.pid)
        return None

    async def _start(self) -> Browser:
        """Start with the strictest isolation that works; later starts begin with that one."""
        path = find_browser(self._path)
        reasons: list[str] = []
        for number, isolation in enumerate(self._isolations):
            try:
                browser = await Browser.start(path, isolation)
            except BrowserUnavailable as error:
                if error.is_exhaustion:
                    raise
                reasons.append(str(error))
                continue
            self._isolations = self._isolations[number:]
            self._log.info(
                "browser_started", path=path, browser_pid=browser.pid, isolation=str(isolation)
            )
            return browser
        raise BrowserUnavailable("; ".join(reasons))

    async def _offer(self, browser: Browser | None, refusal: str | None) -> None:
        async with self._changed:
            self._browser, self._refusal = browser, refusal
            self._changed.notify_all()

    async def _watch_memory(self) -> None:
        """Kill processes that use too much memory.

        Killing the process of a page ends only that page; killing another one ends the browser.
        """
        while True:
            await asyncio.sleep(_MEMORY_CHECK)
            if self._browser is None or not self._in_use:
                continue
            killed = await asyncio.to_thread(self._browser.kill_overgrown, self._max_page_memory)
            if killed:
                self._log.warning("browser_processes_killed", processes=", ".join(killed))
