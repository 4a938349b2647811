"""Reading `/events` as a page does, and better: what every event holds is checked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec

from genvm_manager.protocol.http_api import StatusReply

from .waiting import TIMEOUT


class EventStream:
    """One stream, from its first event on. `view` is what the events so far add up to."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.iter_lines()
        self.is_last = response.headers.get("Connection") == "close"
        self.names: list[str] = []
        self.view: dict[str, Any] = {}
        self.ats: list[float] = []

    def read(self) -> dict[str, Any]:
        """Return the next event's document. Raises `StopIteration` at the end of the stream."""
        name, document = self._event()
        self.names.append(name)
        self.ats.append(time.monotonic())
        status = document["status"]
        msgspec.convert(status, StatusReply)
        before = self.view["executions"] if name == "change" else {}
        shown = before | status["executions"]
        for genvm_id in document["gone"]:
            del shown[str(genvm_id)]
        self.view = status | {"executions": shown}
        return document

    def read_until(self, fact: Callable[[dict[str, Any]], Any], within: float = 20.0) -> Any:
        """Read on until the view has it; the fact's truthy value."""
        deadline = time.monotonic() + within
        while not (value := fact(self.view) if self.view else None):
            assert time.monotonic() < deadline, f"not so within {within} s: {self.view}"
            self.read()
        return value

    def read_comment(self) -> None:
        """Read on until a comment line has come."""
        while not next(self._lines).startswith(":"):
            pass

    def drain(self) -> None:
        """Read to the end of the stream."""
        for _ in self._lines:
            pass

    def _event(self) -> tuple[str, dict[str, Any]]:
        fields: dict[str, str] = {}
        for line in self._lines:
            if line.startswith(":"):
                continue
            if not line and fields:
                return fields["event"], json.loads(fields["data"])
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
        raise StopIteration


@contextmanager
def event_stream(url: str, **headers: str) -> Iterator[EventStream]:
    """Follow `/events` of the service at `url`; raises `httpx.HTTPStatusError` when refused."""
    with (
        httpx.Client(verify=False) as http,
        http.stream("GET", f"{url}/events", headers=headers, timeout=TIMEOUT) as response,
    ):
        if not response.is_success:
            response.read()
        response.raise_for_status()
        assert response.headers["Content-Type"] == "text/event-stream"
        # Held here: httpx closes what nobody reads any more.
        stream = EventStream(response)
        yield stream
