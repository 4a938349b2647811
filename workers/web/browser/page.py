"""One page of a browser, in its own context: without cookies, cache or storage of other pages."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from genvm_manager.workers.web.faults import (
    BODY_TOO_LARGE,
    WEBPAGE_CRASHED,
    WEBPAGE_LOAD_FAILED,
    WebFault,
)
from genvm_manager.workers.web.urls import parse

from .devtools import BrowserGone, CommandRefused, DevTools
from .navigation import NO_DOCUMENT, code_of
from .proxy import PageProxy

VIEWPORT = (1280, 1024)
"""Pixels of a screenshot."""

_SHOWN_BODY = 16 << 10
_ERROR_TIMEOUT = 2.0
_TRIES = 50
"""How often a page is read again that navigates elsewhere meanwhile."""

_NOTHING = "''"
_TEXT = "(document.body?.innerText ?? document.documentElement?.textContent ?? '')"
_SHOWN = f"{_TEXT}.slice(0, {_SHOWN_BODY})"
_HTML = "(document.body?.innerHTML ?? document.documentElement?.outerHTML ?? '')"
_VISIT = """(() => {
    const visit = performance.getEntriesByType("navigation")[0];
    const status = visit?.responseStatus ?? 0;
    const is_error = location.protocol === "chrome-error:";
    const is_good = !is_error
        && (status === 0 || (status >= 200 && status < 300) || status === 304);
    const content = is_good ? %s : is_error ? "" : %s;
    const fits = !is_good || content.length <= %d;
    return {url: visit?.name ?? "", status, is_error, is_good, content: fits ? content : null};
})()"""
"""Evaluated in an isolated world and in one expression, so that all of it is about one document."""

T = TypeVar("T")


class Visit(Struct, frozen=True):
    """The document that the page shows. `content` is None if it is longer than the limit."""

    url: str
    status: int
    is_error: bool
    is_good: bool
    content: str | None


class Page:
    """A page to be opened, loaded, settled, read and closed, in this order.

    Each method may raise `BrowserGone` and `CommandRefused`, and all but `close` also `WebFault`.
    The browser's events about the network are not used: a page could flood them.
    """

    def __init__(self, tools: DevTools, proxy: PageProxy, url: str) -> None:
        self._tools = tools
        self._proxy = proxy
        self._context: str | None = None
        self._session: str | None = None
        self._frame = ""
        self._url = url
        self._error = ""
        loop = asyncio.get_running_loop()
        self._committed: asyncio.Future[None] = loop.create_future()
        self._loaded: asyncio.Future[None] = loop.create_future()
        self._crashed: asyncio.Future[None] = loop.create_future()

    async def open(self) -> None:
        """Open an empty page whose connections all go through the proxy."""
        made = await self._tools.send(
            "Target.createBrowserContext",
            disposeOnDetach=True,
            proxyServer=self._proxy.url,
            proxyBypassList="<-loopback>",
        )
        self._context = made["browserContextId"]
        await self._tools.send(
            "Browser.setDownloadBehavior", behavior="deny", browserContextId=self._context
        )
        made = await self._tools.send(
            "Target.createTarget", url="about:blank", browserContextId=self._context
        )
        self._frame = made["targetId"]
        attached = await self._tools.send(
            "Target.attachToTarget", targetId=self._frame, flatten=True
        )
        self._session = attached["sessionId"]
        self._listen(self._session)
        width, height = VIEWPORT
        await asyncio.gather(
            self._send("Page.enable"),
            self._send("Inspector.enable"),
            self._send(
                "Emulation.setDeviceMetricsOverride",
                width=width, height=height, deviceScaleFactor=1, mobile=False,
            ),
        )  # fmt: skip

    async def load(self) -> None:
        """Navigate to the URL and wait until the page has loaded."""
        begun = await self._send("Page.navigate", url=self._url)
        self._error = begun.get("errorText", "")
        if begun.get("isDownload"):
            raise self._failed(self._url, "it is a download")
        if not self._error:
            await self._unless_over(self._loaded)
        elif self._error != NO_DOCUMENT:
            # Chromium's error page tells which of several URLs failed.
            await asyncio.wait({self._committed}, timeout=_ERROR_TIMEOUT)

    async def settle(self, wait: float) -> None:
        """Wait so many seconds for the page's scripts."""
        await self._unless_over(asyncio.ensure_future(asyncio.sleep(wait)))

    async def text(self, limit: int) -> str:
        """Return the visible text, up to `limit` bytes."""
        return await self._read(_TEXT, limit)

    async def html(self, limit: int) -> str:
        """Return what is inside the body as it is now, up to `limit` bytes.

        Of a document without body, return all (docs/spec/07-python-sdk.md#13-glnondet).
        """
        return await self._read(_HTML, limit)

    async def screenshot(self, limit: int) -> bytes:
        """Return a PNG of the viewport, up to `limit` bytes."""
        await self._read(_NOTHING, 0)
        shot = await self._send("Page.captureScreenshot", format="png")
        image = base64.b64decode(shot["data"])
        if len(image) > limit:
            raise self._too_large(limit)
        return image

    async def close(self) -> None:
        """Close the page and everything it has opened."""
        if self._session is not None:
            self._tools.forget(self._session)
        if self._context is not None:
            await self._tools.send("Target.disposeBrowserContext", browserContextId=self._context)

    # ------------------------------------------------------------------------------- reading it

    async def _read(self, content: str, limit: int) -> str:
        visit = await self._visit(content, limit)
        if self._error not in ("", NO_DOCUMENT) or not visit.is_good:
            raise self._failure(visit)
        # A code unit becomes at least one byte, so content that fits was never left out.
        if visit.content is None or len(visit.content.encode("utf-8", "surrogatepass")) > limit:
            raise self._too_large(limit)
        return _well_formed(visit.content)

    async def _visit(self, content: str, limit: int) -> Visit:
        for _ in range(_TRIES):
            try:
                found = await self._evaluate(_VISIT % (content, _SHOWN, limit))
                return msgspec.convert(found, Visit)
            except CommandRefused:
                await asyncio.sleep(0.1)
        raise self._failed(self._url, "it keeps navigating to other pages")

    async def _evaluate(self, expression: str) -> Any:
        """Return an expression's value, from an isolated world that page scripts cannot change."""
        world = await self._send("Page.createIsolatedWorld", frameId=self._frame)
        found = await self._send(
            "Runtime.evaluate",
            expression=expression,
            contextId=world["executionContextId"],
            returnByValue=True,
        )
        return found["result"].get("value")

    def _failure(self, visit: Visit) -> WebFault:
        """Return why the page cannot be read, as a `WebFault`."""
        url = visit.url if visit.url.startswith(("http:", "https:")) else self._url
        target = parse(url)
        refusal = self._proxy.refusals.get((target.host, target.port))
        if refusal is not None and (visit.is_error or self._error):
            return refusal.about(url)
        if visit.status:
            body = _well_formed(visit.content or "")
            return self._failed(url, f"it answered with status {visit.status}", visit.status, body)
        code = code_of(self._error)
        reason = self._error or "it leads to a page that cannot be loaded"
        if code == WEBPAGE_LOAD_FAILED:
            return self._failed(url, reason)
        return WebFault(code, url, reason)

    def _failed(self, url: str, reason: str, status: int = 0, body: str = "") -> WebFault:
        return WebFault(WEBPAGE_LOAD_FAILED, url, reason, status=status, body=body)

    def _too_large(self, limit: int) -> WebFault:
        return WebFault(BODY_TOO_LARGE, self._url, f"longer than {limit} bytes")

    # ---------------------------------------------------------------------------- talking to it

    async def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        sending = asyncio.ensure_future(self._tools.send(method, self._session, **parameters))
        return await self._unless_over(sending)

    async def _unless_over(self, waiting: asyncio.Future[T]) -> T:
        """Return the awaited result, unless the page ends first."""
        ends: set[asyncio.Future[Any]] = {self._crashed, self._tools.gone, self._proxy.exhausted}
        try:
            await asyncio.wait({waiting, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if self._proxy.exhausted.done():
                raise WebFault(BODY_TOO_LARGE, self._url, "it loads more than a page may")
            if self._crashed.done():
                reason = "it crashed, or took too much memory"
                raise WebFault(WEBPAGE_CRASHED, self._url, reason)
            if not waiting.done():
                raise BrowserGone
            return waiting.result()
        finally:
            if waiting is not self._loaded:
                waiting.cancel()

    # ------------------------------------------------------------------------- what happens to it

    def _listen(self, session: str) -> None:
        listeners = {
            "Page.frameNavigated": self._note_document,
            "Page.loadEventFired": self._note_load,
            "Page.javascriptDialogOpening": self._dismiss_dialog,
            "Inspector.targetCrashed": self._note_crash,
        }
        for event, listener in listeners.items():
            self._tools.on(event, listener, session)

    def _note_document(self, event: dict[str, Any]) -> None:
        frame = event["frame"]
        if "parentId" not in frame and frame["url"] != "about:blank":
            _settle(self._committed)

    def _note_load(self, _: dict[str, Any]) -> None:
        if self._committed.done():
            _settle(self._loaded)

    def _note_crash(self, _: dict[str, Any]) -> None:
        _settle(self._crashed)

    def _dismiss_dialog(self, _: dict[str, Any]) -> None:
        dismissing = asyncio.ensure_future(
            self._tools.send("Page.handleJavaScriptDialog", self._session, accept=False)
        )
        dismissing.add_done_callback(lambda done: done.cancelled() or done.exception())


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _well_formed(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
