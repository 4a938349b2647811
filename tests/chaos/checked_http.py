"""HTTP requests that are checked: each unexpected answer is reported to the oracle."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from .disturbance import Effect
from .oracle import Oracle

TIMEOUT = 90.0
"""Seconds within which every request must be answered, also one that waits for permits."""

_KEPT = 5.0
"""Seconds for which an idle connection is reused; the service keeps it open for longer."""

_CHANGING = re.compile(r"\d+")
_BUSY = ("runs wait for permits already",)
"""Errors of a 503 that need no fault as a reason."""

_AWAY = {Effect.SHUTS, Effect.LOSES, Effect.BREAKS}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `status` is None when the connection broke."""

    status: int | None
    content: Mapping[str, Any]

    @property
    def is_success(self) -> bool:
        """Whether the status is 200."""
        return self.status == 200

    @property
    def comes_later(self) -> bool:
        """Whether the same request may get another answer in a moment."""
        return self.status in (None, 503)

    @property
    def error(self) -> str:
        """The error message, or an empty text."""
        return str(self.content.get("error", ""))


class CheckedHttp:
    """The connections of one client; not to be shared between threads."""

    def __init__(self, port: int, oracle: Oracle) -> None:
        self._port = port
        self._oracle = oracle
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            limits=httpx.Limits(keepalive_expiry=_KEPT),
            timeout=TIMEOUT,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(
        self, method: str, path: str, *, expects: tuple[int, ...] = (), **sent: Any
    ) -> Answer:
        """Send a request and return the answer.

        Report any status but 200, 503 while the service heals, and those that are expected; report
        also a connection that breaks without a fault as a reason.
        """
        began = time.time()
        self._oracle.count("requests")
        try:
            response = self._http.request(method, path, **sent)
        except httpx.ReadTimeout:
            self._oracle.violated("every request is answered", f"{method} {path} was not")
            return Answer(None, {})
        except httpx.TransportError as error:
            self._report_broken(f"{method} {path}", began, error)
            return Answer(None, {})
        answer = Answer(response.status_code, response.json())
        if answer.status == 503:
            self._report_refused(f"{method} {path}", began, answer, response)
        elif answer.status not in (200, *expects):
            self._oracle.violated(
                "expected answers", f"{method} {path}: {answer.status} {answer.error}"
            )
        return answer

    def hang_up(
        self, method: str, path: str, body: bytes = b"", *, part: float = 1.0, after: float = 0.0
    ) -> None:
        """Send a part of a request, wait `after` seconds, and hang up without an answer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        request = head.encode() + body
        self._oracle.count("hang-ups")
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
                connection.sendall(request[: int(len(request) * part)])
                time.sleep(after)
        except OSError:
            # The service was away, so there was no connection to close.
            self._oracle.count("hang-ups without a service")

    def _report_broken(self, what: str, began: float, error: Exception) -> None:
        self._oracle.count("broken connections")
        if not self._oracle.disturbances.explain({Effect.BREAKS}, began, time.time()):
            self._oracle.violated("connections hold", f"{what} broke: {error!r}")

    def _report_refused(
        self, what: str, began: float, answer: Answer, response: httpx.Response
    ) -> None:
        self._oracle.count("503")
        self._oracle.count(f"503: {_CHANGING.sub('N', answer.error)}")
        if not response.headers.get("Retry-After", "").isdigit():
            self._oracle.violated("expected answers", f"{what}: 503 without Retry-After")
        if any(reason in answer.error for reason in _BUSY):
            return
        if not self._oracle.disturbances.explain(_AWAY, began, time.time()):
            self._oracle.violated(
                "no request is refused without a reason", f"{what}: {answer.error}"
            )
