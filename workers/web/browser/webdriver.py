"""Renders pages by the official webdriver service instead of a browser of the worker.

Source: docs/spec/05-modules.md.
"""

from __future__ import annotations

import asyncio

from genvm_manager.base.network._httpx import httpx
from genvm_manager.workers.web.decoding import Body, TooLarge
from genvm_manager.workers.web.faults import (
    BODY_TOO_LARGE,
    CONNECTION_FAILED,
    TIMEOUT,
    WEBPAGE_LOAD_FAILED,
    WebFault,
)

from .render import Mode, RenderOrder

_NOT_MODIFIED = 304


class Webdriver:
    """A client of `webdriver_host`, which the operator has named and which is trusted."""

    def __init__(self, host: str) -> None:
        self._host = host.rstrip("/")
        # `render` has a timeout for the whole.
        self._client = httpx.AsyncClient(timeout=None, trust_env=False)

    async def render(self, order: RenderOrder) -> str | bytes:
        """Return the page's text or HTML, or a PNG of it. Raises `WebFault`."""
        timeout = order.timeout + order.wait
        try:
            async with asyncio.timeout(timeout):
                status, body = await self._request(order)
        except TimeoutError:
            raise WebFault(TIMEOUT, order.url, f"not rendered within {timeout:g} s") from None
        except TooLarge:
            reason = f"longer than {order.size_limit} bytes"
            raise WebFault(BODY_TOO_LARGE, order.url, reason) from None
        except httpx.HTTPError as error:
            reason = f"the webdriver service: {error or type(error).__name__}"
            raise WebFault(CONNECTION_FAILED, order.url, reason) from None
        if not 200 <= status < 300 and status != _NOT_MODIFIED:
            raise WebFault(
                WEBPAGE_LOAD_FAILED, order.url, f"it answered with status {status}",
                status=status, body=body.decode("utf-8", "replace"),
            )  # fmt: skip
        return body if order.mode is Mode.SCREENSHOT else body.decode("utf-8", "replace")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _request(self, order: RenderOrder) -> tuple[int, bytes]:
        """Return the page's status and the rendered content."""
        query = {"url": order.url, "mode": order.mode.value, "waitAfterLoaded": f"{order.wait:g}"}
        body = Body(order.size_limit, b"")
        async with self._client.stream("GET", f"{self._host}/render", params=query) as answer:
            async for part in answer.aiter_bytes():
                body.append(part)
        original = answer.headers.get("resulting-status", "")
        is_number = original.isascii() and original.isdigit()
        status = int(original) if is_number else answer.status_code
        return status, body.content()
