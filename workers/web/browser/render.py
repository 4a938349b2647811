"""Renders a page in a new context with its own proxy.

Source: docs/spec/05-modules.md.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from genvm_manager.workers.web.faults import TIMEOUT, WEBPAGE_CRASHED, WEBPAGE_LOAD_FAILED, WebFault
from genvm_manager.workers.web.network import Network

from .browser import Browser
from .devtools import BrowserGone, CommandRefused
from .page import Page
from .proxy import PageProxy

MAX_LOADED = 64 << 20
"""Bytes that a page may load and send in total."""

_CLOSE_TIMEOUT = 15.0


class Mode(StrEnum):
    """The form in which a page is wanted."""

    TEXT = "text"
    HTML = "html"
    SCREENSHOT = "screenshot"


@dataclass(frozen=True, slots=True)
class RenderOrder:
    """A page to render. `wait` and `timeout` are in seconds, `size_limit` in bytes."""

    mode: Mode
    url: str
    wait: float
    size_limit: int
    timeout: float


async def render(browser: Browser, network: Network, order: RenderOrder) -> str | bytes:
    """Return the page's text or HTML, or a PNG of it. Raises `WebFault`."""
    proxy = PageProxy(network, MAX_LOADED)
    page = Page(browser.tools, proxy, order.url)
    timeout = order.timeout + order.wait
    try:
        async with asyncio.timeout(timeout):
            await proxy.open()
            await page.open()
            await page.load()
            await page.settle(order.wait)
            return await _content(page, order)
    except TimeoutError:
        raise WebFault(TIMEOUT, order.url, f"not rendered within {timeout:g} s") from None
    except BrowserGone:
        raise WebFault(WEBPAGE_CRASHED, order.url, "the browser ended") from None
    except CommandRefused as refusal:
        raise WebFault(WEBPAGE_LOAD_FAILED, order.url, str(refusal)) from None
    finally:
        await asyncio.shield(_put_away(browser, page, proxy))


async def _content(page: Page, order: RenderOrder) -> str | bytes:
    if order.mode is Mode.SCREENSHOT:
        return await page.screenshot(order.size_limit)
    if order.mode is Mode.HTML:
        return await page.html(order.size_limit)
    return await page.text(order.size_limit)


async def _put_away(browser: Browser, page: Page, proxy: PageProxy) -> None:
    """Close the page and its proxy; end a browser that fails to close the page."""
    try:
        await asyncio.wait_for(page.close(), _CLOSE_TIMEOUT)
    except (TimeoutError, BrowserGone, CommandRefused):
        await browser.stop()
    await proxy.close()
