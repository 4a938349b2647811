"""The web module: HTTP requests and pages for contracts.

Source: docs/spec/05-modules.md#web-requests.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.base.validation import from_value
from genvm_manager.protocol.module_frames import (
    FatalFault,
    HttpMethod,
    ModuleHello,
    ModuleRequest,
)
from genvm_manager.workers.outbound.trust import usual_trust
from genvm_manager.workers.web.browser.pool import BrowserPool
from genvm_manager.workers.web.browser.profile import remove_orphaned_profiles
from genvm_manager.workers.web.browser.render import Mode, RenderOrder, render
from genvm_manager.workers.web.browser.webdriver import Webdriver
from genvm_manager.workers.worker.module import Module, ModuleOptions, Session

from .config import WebConfig, parse_config
from .fetch import Fetcher, Request
from .network import Network
from .urls import UrlRules

BROWSER_TIMEOUT = 30.0
"""Seconds for which the module's start waits for the browser; a page waits longer if needed."""

SizeLimit = Annotated[int, Meta(ge=0)]


class RequestPayload(Struct, frozen=True):
    """The payload of `Request`; `sign` is accepted and ignored, as there is no signer."""

    method: HttpMethod
    url: str
    headers: dict[str, bytes] = {}
    body: bytes | None = None
    sign: bool = False


class RenderPayload(Struct, frozen=True):
    """The payload of `Render`."""

    mode: Literal["text", "html", "screenshot"]
    url: str
    wait_after_loaded: str = "0ms"


class WebModule:
    """What all sessions of a worker share; see `workers.worker.module.Module`."""

    def __init__(self, config: WebConfig, log: EventLog) -> None:
        self.config = config
        self.shortage = None
        self.rules = UrlRules(config.extra_tld, config.always_allow_hosts)
        self.network = Network(self.rules, config.dns_servers)
        self.trust: ssl.SSLContext = usual_trust()
        self.webdriver = Webdriver(config.webdriver_host) if config.webdriver_host else None
        self.browsers = None if self.webdriver else BrowserPool(
            config.browser_path, config.max_pages, config.max_page_memory, log
        )  # fmt: skip

    async def open_session(self, hello: ModuleHello) -> Session:  # noqa: ARG002 - nothing depends on it
        """Open a session."""
        return WebSession(self)

    async def close(self) -> None:
        """Close the browser or the connection to the webdriver service."""
        if self.webdriver is not None:
            await self.webdriver.close()
        if self.browsers is not None:
            await self.browsers.close()

    async def render(self, order: RenderOrder) -> str | bytes:
        """Return the page's text or HTML, or a PNG of it. Raises `WebFault`."""
        target = self.rules.check(order.url)
        if self.webdriver is not None:
            await self.network.require(target.host, target.port)
            return await self.webdriver.render(order)
        assert self.browsers is not None
        async with self.browsers.acquire(order.url) as browser:
            return await render(browser, self.network, order)


class WebSession:
    """One executor's connection, with HTTP connections of its own."""

    def __init__(self, module: WebModule) -> None:
        self._module = module
        self._fetcher = Fetcher(
            module.rules, module.network, module.trust, module.config.max_redirects
        )

    async def answer(self, request: ModuleRequest) -> Any:
        """Answer a request. Raises `WebFault`, and `FatalFault` for an invalid request."""
        if request.name == "Request":
            payload, limit = _payload(request, RequestPayload)
            return await self._request(payload, limit)
        if request.name == "Render":
            wanted, limit = _payload(request, RenderPayload)
            return await self._render(wanted, limit)
        raise FatalFault(f"the web module knows no request {request.name[:40]!r}")

    async def close(self) -> None:
        """Close the session's connections."""
        await self._fetcher.close()

    async def _request(self, payload: RequestPayload, limit: int | None) -> Any:
        config = self._module.config
        headers = {name.lower().encode(): value for name, value in payload.headers.items()}
        response = await self._fetcher.fetch(
            Request(payload.method, payload.url, headers, payload.body),
            _bounded(limit, config),
            parse_duration(config.timeout),
        )
        answered = {name.decode("latin-1"): value for name, value in response.headers.items()}
        return {"response": {"status": response.status, "headers": answered, "body": response.body}}

    async def _render(self, payload: RenderPayload, limit: int | None) -> Any:
        config = self._module.config
        content = await self._module.render(
            RenderOrder(
                mode=Mode(payload.mode),
                url=payload.url,
                wait=_wait(payload.wait_after_loaded, config),
                size_limit=_bounded(limit, config),
                timeout=parse_duration(config.render_timeout),
            )
        )
        return {"image": content} if isinstance(content, bytes) else {"text": content}


async def open_module(
    config: Mapping[str, Any],
    options: ModuleOptions,
    log: EventLog,
) -> Module:
    """Return the module of a configuration. Raises `BadRequest` naming the invalid key.

    It is ready with or without a browser, which only rendering needs.
    """
    settings, unknown = parse_config(config)
    if unknown and options.tells_of_config:
        log.warning("web_config_unknown_keys", keys=", ".join(unknown))
    remove_orphaned_profiles()
    try:
        module = WebModule(settings, log)
    except ValueError as error:
        raise BadRequest(f"config: {error}") from None
    if module.browsers is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(module.browsers.settled(), BROWSER_TIMEOUT)
    return module


def _payload(request: ModuleRequest, kind: type[Any]) -> tuple[Any, int | None]:
    """Return the payload of a request and its size limit. Raises `FatalFault`."""
    if not isinstance(request.payload, list) or len(request.payload) != 2:
        raise FatalFault(f"{request.name}: expected a list of payload and size limit")
    payload, limit = request.payload
    try:
        return from_value(payload, kind), from_value(limit, SizeLimit | None)  # type: ignore[arg-type]
    except BadRequest as error:
        raise FatalFault(f"{request.name}: {error.message}") from None


def _bounded(limit: int | None, config: WebConfig) -> int:
    return config.max_body if limit is None else min(limit, config.max_body)


def _wait(text: str, config: WebConfig) -> float:
    """Return the seconds to wait after a page has loaded, at most the configured maximum."""
    try:
        wait = parse_duration(text)
    except ValueError as error:
        raise FatalFault(f"Render: wait_after_loaded: {error}") from None
    return min(wait, parse_duration(config.max_wait_after_loaded))
