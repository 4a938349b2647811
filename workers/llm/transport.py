"""Sends one query to one provider over HTTP."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress

import msgspec

from genvm_manager.base.network._httpx import httpx
from genvm_manager.base.validation import NOT_DECODED
from genvm_manager.workers.outbound.trust import usual_trust
from genvm_manager.workers.outbound.unread import is_suspect, stream_of_httpcore

from .providers import WIRE_FORMATS, Query

MAX_BODY = 32 << 20
"""Bytes of the longest reply (docs/spec/05-modules.md#llm-requests)."""

MAX_ERROR_BODY = 64 << 10
"""Bytes that are read of a reply with another status than 2xx."""

MAX_REASON = 300
"""Characters of a provider's own words that are shown."""

CONNECT_SECONDS = 10.0
_KEPT_CONNECTIONS = 32
KEY_REFUSED = (401, 403)
"""Statuses for which the provider's own words are never shown: they may quote the key."""

_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


class ProviderFault(Exception):
    """A provider gave no answer.

    `status` is its HTTP status, else `TIMEOUT`, `CONNECTION`, `BODY_TOO_LARGE` or
    `MALFORMED_REPLY`. `retry_after` is the pause it asks for, in seconds. The message is for
    operators, not for contracts; it never holds the key.
    """

    def __init__(self, status: int | str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Transport:
    """Connections to providers, which are kept open. Many queries may be under way at once."""

    def __init__(self, proxy: str | None = None) -> None:
        """Prepare the client. `proxy`: its URL; `HTTPS_PROXY` of the environment is ignored."""
        # Redirects are not followed: they would send the key elsewhere. The number of queries at
        # once is bounded by the number of sessions.
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=_KEPT_CONNECTIONS),
            headers={"accept-encoding": "identity"},
            verify=usual_trust(),
            proxy=proxy,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def send(self, provider: str, query: Query, seconds: float) -> str:
        """Send a query and return the model's text, within so many seconds.

        `provider` is a key of `WIRE_FORMATS`. Raises `ProviderFault`.
        """
        try:
            async with asyncio.timeout(seconds):
                body = await self._exchange(provider, query)
        except (TimeoutError, httpx.TimeoutException):
            raise ProviderFault("TIMEOUT", f"no answer within {seconds:.1f} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            # The message of an exception of httpx may quote the request's headers.
            raise ProviderFault("CONNECTION", _connection_failure(error)) from None
        try:
            return WIRE_FORMATS[provider].read(body)
        except NOT_DECODED:
            message = f"the reply does not have the form that {provider} documents"
            raise ProviderFault("MALFORMED_REPLY", message) from None

    async def _exchange(self, provider: str, query: Query) -> bytes:
        url, headers, body = WIRE_FORMATS[provider].write(query)
        headers = {**headers, "content-type": "application/json"}
        content = msgspec.json.encode(body)
        async with self._client.stream("POST", url, headers=headers, content=content) as reply:
            if not reply.is_success:
                raise await _refusal(reply, query)
            if reply.headers.get("content-encoding", "identity") != "identity":
                raise ProviderFault("MALFORMED_REPLY", "the reply is compressed without a request")
            received, is_whole = await _read(reply, MAX_BODY)
            await _close_if_suspect(reply)
        if not is_whole:
            raise ProviderFault("BODY_TOO_LARGE", f"the reply is longer than {MAX_BODY} bytes")
        return received


async def _read(reply: httpx.Response, most: int) -> tuple[bytes, bool]:
    """Return at most so many bytes of the body, and whether that is all of it."""
    received = bytearray()
    assert isinstance(reply.stream, httpx.AsyncByteStream)
    # Not `aiter_raw`: at its end the connection is free for the next query.
    async for chunk in reply.stream:
        received += chunk
        if len(received) > most:
            return bytes(received[:most]), False
    return bytes(received), True


async def _close_if_suspect(reply: httpx.Response) -> None:
    """Close a connection that holds more than this answer: the next query must not use it."""
    body = stream_of_httpcore(reply.stream)
    connection = reply.extensions["network_stream"]
    if is_suspect(reply.headers.raw, body, connection):
        await connection.aclose()


async def _refusal(reply: httpx.Response, query: Query) -> ProviderFault:
    if reply.status_code in KEY_REFUSED:
        # Providers often quote the key here, or parts of it.
        reason = "the provider refuses the key"
    else:
        body, _ = await _read(reply, MAX_ERROR_BODY)
        await _close_if_suspect(reply)
        reason = query.key.hide_in(_reason(body))
    return ProviderFault(
        reply.status_code, f"HTTP {reply.status_code}: {reason[:MAX_REASON]}", _pause(reply)
    )


def _reason(body: bytes) -> str:
    """Return the provider's words: `error.message` or `error` in JSON, else the text itself."""
    with suppress(*NOT_DECODED):
        value = msgspec.json.decode(body)
        error = value.get("error") if isinstance(value, dict) else None
        said = error.get("message") if isinstance(error, dict) else error
        if isinstance(said, str):
            return said
    return " ".join(body.decode("utf-8", "replace").split())


def _pause(reply: httpx.Response) -> float | None:
    """Return `Retry-After` in seconds, or None, also for a date."""
    text = reply.headers.get("retry-after", "")
    return float(text) if _SECONDS.fullmatch(text) else None


def _connection_failure(error: Exception) -> str:
    """Return why a connection failed, without any part of the request."""
    detail = ""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionError) and cause.errno:
            detail = f": {os.strerror(cause.errno)}"
        elif isinstance(cause, OSError) and cause.strerror:
            detail = f": {cause.strerror}"
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}{detail}"
