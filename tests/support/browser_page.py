"""A page in a real Chromium, for tests of our own pages; each call has a deadline."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from genvm_manager.workers.web.browser.browser import (
    Browser,
    BrowserUnavailable,
    find_browser,
    isolations,
)

from .waiting import TIMEOUT, wait_until

T = TypeVar("T")


class Chromium:
    """A browser and the thread with the event loop that speaks to it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._browser = self.do(self._start())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the browser's event loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT)

    def close(self) -> None:
        """End the browser."""
        self.do(self._browser.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)

    @contextmanager
    def page(
        self,
        width: int = 1280,
        height: int = 900,
        scheme: str = "light",
        proxy: str = "direct://",
    ) -> Iterator[Page]:
        """Open an empty page with its own storage; all but loopback goes through the proxy."""
        page = Page(self)
        self.do(page.open(width, height, scheme, proxy))
        try:
            yield page
        finally:
            self.do(page.close())

    @property
    def tools(self) -> Any:
        """The debugging pipe."""
        return self._browser.tools

    async def _start(self) -> Browser:
        for isolation in isolations():
            try:
                return await Browser.start(find_browser(None), isolation)
            except BrowserUnavailable as error:
                refused = error
        raise refused


class Page:
    """What a person would do and see; scripts are run in the page only to look."""

    def __init__(self, chromium: Chromium) -> None:
        self._chromium = chromium
        self._context = ""
        self._session = ""
        self.problems: list[str] = []
        """What the browser reported: errors of scripts, what the policy forbade."""

        self.statuses: dict[str, int] = {}
        """HTTP's status of the last response from each URL."""

    async def open(self, width: int, height: int, scheme: str, proxy: str) -> None:
        """Open the page."""
        tools = self._chromium.tools
        made = await tools.send(
            "Target.createBrowserContext",
            disposeOnDetach=True,
            proxyServer=proxy,
            proxyBypassList="127.0.0.1",
        )
        self._context = made["browserContextId"]
        made = await tools.send(
            "Target.createTarget", url="about:blank", browserContextId=self._context
        )
        attached = await tools.send(
            "Target.attachToTarget", targetId=made["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        tools.on("Runtime.exceptionThrown", self._note_exception, self._session)
        tools.on("Log.entryAdded", self._note_entry, self._session)
        tools.on("Network.responseReceived", self._note_response, self._session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self._send(f"{domain}.enable")
        await self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        await self._send("Emulation.setEmulatedMedia", features=features)
        await self._send("Emulation.setFocusEmulationEnabled", enabled=True)

    async def close(self) -> None:
        """Close the page."""
        self._chromium.tools.forget(self._session)
        await self._chromium.tools.send(
            "Target.disposeBrowserContext", browserContextId=self._context
        )

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol."""
        return self._chromium.do(self._send(method, **parameters))

    def go(self, url: str) -> None:
        """Lead the page to a URL."""
        error = self.call("Page.navigate", url=url).get("errorText")
        assert not error, error

    def look(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; wait for a promise."""
        shown = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in shown, shown["exceptionDetails"]
        return shown["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """Return the visible text of an element; empty without such an element."""
        found = self.look(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        # The page keeps numbers and units together by a narrow space.
        return str(found).replace("\u202f", " ")

    def wait_for(self, texts: str, selector: str = "body", within: float = TIMEOUT) -> None:
        """Wait until that can be read there."""
        try:
            wait_until(lambda: texts in self.text(selector), within)
        except AssertionError:
            raise AssertionError(
                f"{texts!r} is not in {selector}: {self.text()!r} {self.problems}"
            ) from None

    def wait_until(self, expression: str, within: float = TIMEOUT) -> Any:
        """Wait until an expression is true; gives its value."""
        return wait_until(lambda: self.look(expression), within)

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of the first such element, once it can be pressed and
        stands still: what comes above it moves it."""
        where = f"document.querySelector({json.dumps(selector)})"
        self.wait_until(f"!!{where} && !{where}.disabled && {where}.offsetParent !== null")
        middle = (
            f"(found => {{ found.scrollIntoView({{block: 'center'}});"
            " const {x, y, width, height} = found.getBoundingClientRect();"
            f" return [x + width / 2, y + height / 2] }})({where})"
        )
        before = None
        while (box := self.look(middle)) != before:
            before = box
            self.look("new Promise(done => setTimeout(done, 200))")
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent",
                type=kind, x=box[0], y=box[1], button="left", clickCount=1,
            )  # fmt: skip

    def type(self, text: str) -> None:
        """Type into whatever has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press and release a key, as `Enter`, `Tab`, `Escape`."""
        codes = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), "ArrowRight": (39, "")}
        number, text = codes[key]
        known = {"key": key, "code": key, "windowsVirtualKeyCode": number}
        self.call(
            "Input.dispatchKeyEvent", type="keyDown", **known, **({"text": text} if text else {})
        )
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    async def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        answer = await self._chromium.tools.send(method, self._session, **parameters)
        assert isinstance(answer, dict)
        return answer

    def _note_exception(self, event: dict[str, Any]) -> None:
        self.problems.append(json.dumps(event["exceptionDetails"]))

    def _note_entry(self, event: dict[str, Any]) -> None:
        # That a request failed is no problem of the page's.
        if event["entry"]["source"] != "network":
            self.problems.append(json.dumps(event["entry"]))

    def _note_response(self, event: dict[str, Any]) -> None:
        self.statuses[event["response"]["url"]] = event["response"]["status"]
