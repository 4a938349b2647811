"""Fetches a URL: redirects, limits and timeout (docs/spec/05-modules.md#web-requests)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urljoin

import httpcore

from genvm_manager.workers.outbound.unread import is_suspect

from .decoding import ACCEPTED, Body, TooLarge, Undecodable
from .faults import (
    BODY_TOO_LARGE,
    CONNECTION_FAILED,
    MALFORMED_HEADER,
    MALFORMED_RESPONSE,
    MALFORMED_URL,
    TIMEOUT,
    TOO_MANY_REDIRECTS,
    WebFault,
)
from .network import CheckedBackend, Network
from .urls import Target, UrlRules, parse

USER_AGENT = b"genvm-manager"

_IDLE_CONNECTION = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEPS_METHOD = frozenset({307, 308})
_HAS_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods for which an empty body is announced by `Content-Length: 0`."""

_OWN_HEADERS = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection",
                          b"upgrade", b"keep-alive", b"te", b"trailer", b"expect"})  # fmt: skip
"""Headers of the connection; a contract's values for them are not sent."""

_FOR_ONE_ORIGIN = frozenset({b"authorization", b"cookie", b"proxy-authorization"})
_OF_A_BODY = frozenset({b"content-type", b"content-encoding", b"content-language"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request to send. Header names are in lower case."""

    method: str
    url: str
    headers: Mapping[bytes, bytes]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Response:
    """A response; `body` is decompressed, and `headers` then no longer name its encoding."""

    url: str
    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Fetcher:
    """Fetches URLs on connections of its own.

    Each session has one, so that contracts do not share what a server ties to a connection.
    """

    def __init__(
        self, rules: UrlRules, network: Network, trust: ssl.SSLContext, max_redirects: int
    ) -> None:
        self._rules = rules
        self._max_redirects = max_redirects
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust,
            max_connections=4,
            keepalive_expiry=_IDLE_CONNECTION,
            network_backend=CheckedBackend(network),
        )

    async def fetch(self, request: Request, size_limit: int, timeout: float) -> Response:
        """Return the response to a request, after redirects.

        `timeout` is in seconds for the whole. Raises `WebFault`.
        """
        last = request.url
        try:
            async with asyncio.timeout(timeout):
                for _ in range(self._max_redirects + 1):
                    target = self._rules.check(request.url)
                    last = request.url
                    response = await self._send(request, target, size_limit)
                    followed = _redirected(request, target, response)
                    if followed is None:
                        return response
                    request = followed
        except TimeoutError:
            raise WebFault(TIMEOUT, last, f"no complete answer within {timeout:g} s") from None
        reason = f"more than {self._max_redirects} redirects"
        raise WebFault(TOO_MANY_REDIRECTS, request.url, reason)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _send(self, request: Request, target: Target, size_limit: int) -> Response:
        try:
            async with self._pool.stream(
                request.method,
                httpcore.URL(
                    scheme=target.scheme.encode(),
                    host=target.host.encode(),
                    port=target.port,
                    target=target.path.encode(),
                ),
                headers=_sent_headers(request, target),
                content=request.body,
            ) as answer:
                response = await _received(request, answer, size_limit)
                connection = answer.extensions["network_stream"]
                if is_suspect(answer.headers, answer.stream, connection):
                    # The pool does not use a closed connection again.
                    await connection.aclose()
                return response
        except WebFault as fault:
            raise fault.about(request.url) from None
        except TooLarge:
            reason = f"the body is longer than {size_limit} bytes"
            raise WebFault(BODY_TOO_LARGE, request.url, reason) from None
        except Undecodable as error:
            raise WebFault(MALFORMED_RESPONSE, request.url, f"its body: {error}") from None
        except httpcore.LocalProtocolError as error:
            raise WebFault(MALFORMED_HEADER, request.url, str(error)) from None
        except httpcore.RemoteProtocolError as error:
            raise WebFault(MALFORMED_RESPONSE, request.url, str(error)) from None
        except httpcore.NetworkError as error:
            raise WebFault(CONNECTION_FAILED, request.url, str(error) or "it broke") from None


def _sent_headers(request: Request, target: Target) -> list[tuple[bytes, bytes]]:
    defaults = {b"user-agent": USER_AGENT, b"accept": b"*/*", b"accept-encoding": ACCEPTED}
    own = {name: value for name, value in request.headers.items() if name not in _OWN_HEADERS}
    sent = [(b"host", target.authority.encode()), *(defaults | own).items()]
    if request.body is not None or request.method in _HAS_BODY:
        sent.append((b"content-length", str(len(request.body or b"")).encode()))
    return sent


async def _received(request: Request, answer: httpcore.Response, size_limit: int) -> Response:
    headers: dict[bytes, bytes] = {}
    for name, value in answer.headers:
        known = headers.get(name.lower())
        headers[name.lower()] = value if known is None else known + b", " + value
    if answer.status in _REDIRECTS and headers.get(b"location"):
        # The body of a redirect is not read, so its length does not matter.
        return Response(request.url, answer.status, headers, b"")
    body = Body(size_limit, headers.get(b"content-encoding", b""))
    async for part in answer.aiter_stream():
        body.append(part)
    if body.is_decoded:
        headers.pop(b"content-encoding")
        headers.pop(b"content-length", None)
    return Response(request.url, answer.status, headers, body.content())


def _redirected(request: Request, target: Target, response: Response) -> Request | None:
    """Return the request that follows a redirect, or None without a redirect."""
    location = response.headers.get(b"location")
    if response.status not in _REDIRECTS or not location:
        return None
    try:
        url = urljoin(target.url, location.decode("utf-8", "replace"))
    except ValueError:
        raise WebFault(MALFORMED_URL, request.url, "its redirect leads nowhere") from None
    followed = replace(request, url=url)
    if not _is_same_origin(target, url):
        followed = replace(followed, headers=_without(followed.headers, _FOR_ONE_ORIGIN))
    if response.status in _KEEPS_METHOD or request.method in ("GET", "HEAD"):
        return followed
    if response.status != 303 and request.method != "POST":
        return followed
    return replace(
        followed, method="GET", body=None, headers=_without(followed.headers, _OF_A_BODY)
    )


def _is_same_origin(target: Target, url: str) -> bool:
    return parse(url).origin == target.origin


def _without(headers: Mapping[bytes, bytes], names: frozenset[bytes]) -> dict[bytes, bytes]:
    return {name: value for name, value in headers.items() if name not in names}
