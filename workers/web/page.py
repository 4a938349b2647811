"""One page of a browser, in a context of its own: no cookie, cache or storage of any other."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, TypeVar

from .devtools import DevTools
from .faults import BODY_TOO_LARGE, WEBPAGE_LOAD_FAILED, WebFault
from .proxy import PageProxy
from .urls import parse

VIEWPORT = (1280, 1024)
"""Pixels of a screenshot."""

_SHOWN_BODY = 16 << 10
_NOT_MODIFIED = 304
_TEXT = "document.body ? document.body.innerText : ''"
_HTML = "document.documentElement ? document.documentElement.outerHTML : ''"

T = TypeVar("T")


class PageCrashed(Exception):
    """The page's process has ended."""


class Page:
    """A page to be opened, loaded, checked, read and closed, in this order.

    What talks to the browser raises `BrowserGone`, `CommandRefused` or `PageCrashed`.
    """

    def __init__(self, tools: DevTools) -> None:
        self._tools = tools
        self._context: str | None = None
        self._session: str | None = None
        self._frame = ""
        self._url = ""
        self._status = 0
        self._failure = ""
        loop = asyncio.get_running_loop()
        self._loaded: asyncio.Future[None] = loop.create_future()
        self._crashed: asyncio.Future[None] = loop.create_future()

    async def open(self, proxy: str) -> None:
        """Make an empty page whose every connection goes through `proxy`."""
        made = await self._tools.send(
            "Target.createBrowserContext",
            disposeOnDetach=True,
            proxyServer=proxy,
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
        for domain in ("Page", "Network", "Inspector"):
            await self._send(f"{domain}.enable")
        width, height = VIEWPORT
        await self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    async def load(self, url: str) -> None:
        """Navigate and wait until the page says that it has loaded."""
        self._url = url
        begun = await self._send("Page.navigate", url=url)
        self._failure = begun.get("errorText", "")
        if not self._failure:
            await self._unless_crashed(self._loaded)

    def check(self, proxy: PageProxy) -> None:
        """Raise `WebFault` unless the page's own document has come."""
        target = parse(self._url)
        if fault := proxy.refusals.get((target.host, target.port)):
            raise fault.about(self._url)
        if proxy.is_exhausted:
            raise WebFault(BODY_TOO_LARGE, self._url, "it loads more than a page may")
        if self._failure:
            raise WebFault(WEBPAGE_LOAD_FAILED, self._url, self._failure, status=0, body="")

    async def settle(self, wait: float) -> None:
        """Give the page's scripts that many seconds."""
        await self._unless_crashed(asyncio.ensure_future(asyncio.sleep(wait)))

    async def text(self, limit: int) -> str:
        """What a person reads, up to `limit` bytes."""
        return await self._read(_TEXT, limit)

    async def html(self, limit: int) -> str:
        """The document as it is now, up to `limit` bytes."""
        return await self._read(_HTML, limit)

    async def screenshot(self, limit: int) -> bytes:
        """A PNG of what fits the viewport, up to `limit` bytes."""
        await self._require_success()
        shot = await self._send("Page.captureScreenshot", format="png")
        image = base64.b64decode(shot["data"])
        if len(image) > limit:
            raise self._too_large(limit)
        return image

    async def close(self) -> None:
        """Close the page and whatever it has opened."""
        if self._session is not None:
            self._tools.forget(self._session)
        if self._context is not None:
            await self._tools.send("Target.disposeBrowserContext", browserContextId=self._context)

    async def _read(self, expression: str, limit: int) -> str:
        await self._require_success()
        # A code unit makes at least one byte, so nothing that fits is refused here.
        bounded = f"(text => text.length > {limit} ? null : text)({expression})"
        text = await self._evaluate(bounded)
        if text is None or len(text.encode("utf-8", "surrogatepass")) > limit:
            raise self._too_large(limit)
        return _well_formed(text)

    async def _require_success(self) -> None:
        if 200 <= self._status < 300 or self._status == _NOT_MODIFIED:
            return
        shown = _well_formed(await self._evaluate(f"({_TEXT}).slice(0, {_SHOWN_BODY})") or "")
        reason = f"it answered with status {self._status}"
        raise WebFault(WEBPAGE_LOAD_FAILED, self._url, reason, status=self._status, body=shown)

    async def _evaluate(self, expression: str) -> str | None:
        """The value of an expression, in a world of its own: the page's scripts have no say."""
        world = await self._send("Page.createIsolatedWorld", frameId=self._frame)
        found = await self._send(
            "Runtime.evaluate",
            expression=expression,
            contextId=world["executionContextId"],
            returnByValue=True,
        )
        value = found["result"].get("value")
        return value if isinstance(value, str) else None

    async def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        sending = asyncio.ensure_future(self._tools.send(method, self._session, **parameters))
        return await self._unless_crashed(sending)

    async def _unless_crashed(self, waiting: asyncio.Future[T]) -> T:
        either: set[asyncio.Future[Any]] = {waiting, self._crashed}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise PageCrashed
            return waiting.result()
        finally:
            if waiting is not self._loaded:
                waiting.cancel()

    def _too_large(self, limit: int) -> WebFault:
        return WebFault(BODY_TOO_LARGE, self._url, f"longer than {limit} bytes")

    # ------------------------------------------------------------------------- what happens to it

    def _listen(self, session: str) -> None:
        listeners = {
            "Page.loadEventFired": self._note_load,
            "Page.javascriptDialogOpening": self._dismiss_dialog,
            "Network.requestWillBeSent": self._note_request,
            "Network.responseReceived": self._note_response,
            "Inspector.targetCrashed": self._note_crash,
        }
        for event, listener in listeners.items():
            self._tools.on(event, listener, session)

    def _note_load(self, _: dict[str, Any]) -> None:
        if self._url and not self._loaded.done():
            self._loaded.set_result(None)

    def _note_crash(self, _: dict[str, Any]) -> None:
        if not self._crashed.done():
            self._crashed.set_result(None)

    def _note_request(self, event: dict[str, Any]) -> None:
        """The document asks for another URL: at first, and with each redirect."""
        url = event["request"]["url"]
        if self._is_document(event) and url.startswith(("http:", "https:")):
            self._url = url

    def _note_response(self, event: dict[str, Any]) -> None:
        if self._is_document(event):
            self._status = int(event["response"]["status"])

    def _is_document(self, event: dict[str, Any]) -> bool:
        return event.get("frameId") == self._frame and event.get("type") == "Document"

    def _dismiss_dialog(self, _: dict[str, Any]) -> None:
        dismissing = asyncio.ensure_future(
            self._tools.send("Page.handleJavaScriptDialog", self._session, accept=False)
        )
        dismissing.add_done_callback(lambda done: done.cancelled() or done.exception())


def _well_formed(text: str) -> str:
    """Without lone surrogates, which no UTF-8 can say."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
