"""Keeps one browser warm: started with the worker, and again whenever it has ended."""

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
    BrowserRefused,
    BrowserUnavailable,
    Isolation,
    find_browser,
    isolations,
)

_LONGEST_PAUSE = 30.0
"""Seconds between two starts of a browser that keeps ending."""

_USEFUL_LIFE = 10.0
"""Seconds after which a browser's end says nothing against the next one: a page can end one."""

_LOOK_AT_MEMORY = 0.3
"""Seconds between two looks at the browser's memory, while there are pages."""


class BrowserPool:
    """Lends its browser for up to `max_pages` pages at once."""

    def __init__(
        self, path: str | None, max_pages: int, max_page_memory: int, log: EventLog
    ) -> None:
        self._path = path
        self._max_page_memory = max_page_memory
        self._log = log
        self._pages = asyncio.Semaphore(max_pages)
        self._lent = 0
        self._browser: Browser | None = None
        self._refusal: str | None = None
        self._changed = asyncio.Condition()
        self._isolations = isolations()
        self._keeping = asyncio.create_task(self._keep())
        self._watching = asyncio.create_task(self._watch_memory())

    async def settled(self) -> None:
        """Wait until the browser answers, or it is known why there is none."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._browser or self._refusal)

    @asynccontextmanager
    async def lend(self, url: str) -> AsyncIterator[Browser]:
        """A browser for one page. Raises `WebFault` when there is none."""
        async with self._pages:
            await self.settled()
            if self._browser is None:
                raise WebFault(BROWSER_UNAVAILABLE, url, self._refusal or "")
            self._lent += 1
            try:
                yield self._browser
            finally:
                self._lent -= 1

    @property
    def isolation(self) -> Isolation:
        """The strictest that has not failed here."""
        return self._isolations[0]

    async def close(self) -> None:
        """End the browser."""
        for task in (self._keeping, self._watching):
            task.cancel()
        await asyncio.gather(self._keeping, self._watching, return_exceptions=True)
        if self._browser is not None:
            await self._browser.stop()

    async def _keep(self) -> None:
        backoff = Backoff()
        ends: deque[float] = deque(maxlen=backoff.max_crashes)
        while True:
            began = time.monotonic()
            try:
                refusal = await self._live()
            except Exception:
                self._log.failure("browser_pool_failed")
                refusal = "the browser cannot be looked after; the module's log says more"
            now = time.monotonic()
            if refusal is not None or now - began < _USEFUL_LIFE:
                ends.append(now)
            pause = backoff.next_delay(ends, now)
            if pause is None:
                pause = _LONGEST_PAUSE
                refusal = refusal or "the browser keeps ending; it is tried again within 30 s"
            await self._offer(None, refusal)
            await asyncio.sleep(pause)

    async def _live(self) -> str | None:
        """One browser from its start to its end; gives why there was none."""
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
        """By the strictest isolation that works here; later starts begin with that one."""
        path = find_browser(self._path)
        reasons: list[str] = []
        for number, isolation in enumerate(self._isolations):
            try:
                browser = await Browser.start(path, isolation)
            except BrowserRefused:
                raise
            except BrowserUnavailable as error:
                reasons.append(str(error))
                continue
            self._isolations = self._isolations[number:]
            fields = {"path": path, "browser_pid": browser.pid, "isolation": str(isolation)}
            self._log.info("browser_started", **fields)
            return browser
        raise BrowserUnavailable("; ".join(reasons))

    async def _offer(self, browser: Browser | None, refusal: str | None) -> None:
        async with self._changed:
            self._browser, self._refusal = browser, refusal
            self._changed.notify_all()

    async def _watch_memory(self) -> None:
        """A page that takes too much loses its process, and with it only itself; what takes too
        much outside of pages ends the browser with all of them."""
        while True:
            await asyncio.sleep(_LOOK_AT_MEMORY)
            if self._browser is None or not self._lent:
                continue
            killed = await asyncio.to_thread(self._browser.kill_overgrown, self._max_page_memory)
            if killed:
                fields = {"processes": ", ".join(killed)}
                self._log.warning("browser_processes_killed", **fields)
