"""The DevTools protocol over a pair of pipes: requests, their answers, and events by session.

A browser that was started with `--remote-debugging-pipe` reads JSON with a NUL after each message
from its descriptor 3 and writes the same to 4; it ends when its pipe does.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections import defaultdict
from collections.abc import Callable
from typing import Any

_MAX_MESSAGE = 128 << 20

EventHandler = Callable[[dict[str, Any]], None]


class BrowserGone(Exception):
    """The browser has ended, or no longer speaks sense."""


class CommandRefused(Exception):
    """The browser could not do what it was asked to; the message is its own."""


class DevTools(asyncio.Protocol):
    """One browser's debugging pipe. Sessions are pages; the browser itself has the session None."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._handlers: dict[tuple[str | None, str], list[EventHandler]] = defaultdict(list)
        self._received = bytearray()
        self._is_skipping = False
        self._writer: asyncio.WriteTransport | None = None
        self._reader: asyncio.BaseTransport | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Settled once nothing more will come."""

    async def attach(self, to_browser: int, from_browser: int) -> None:
        """Speak over two descriptors, which are ours from now on."""
        loop = asyncio.get_running_loop()
        source = os.fdopen(from_browser, "rb", buffering=0)
        sink = os.fdopen(to_browser, "wb", buffering=0)
        self._reader, _ = await loop.connect_read_pipe(lambda: self, source)
        self._writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, sink)

    def close(self) -> None:
        """Close the pipes: the browser ends."""
        for transport in (self._writer, self._reader):
            if transport is not None:
                transport.close()
        self._end()

    async def send(
        self, method: str, session: str | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """A command's result. Raises `CommandRefused` or `BrowserGone`."""
        if self.gone.done() or self._writer is None:
            raise BrowserGone
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(json.dumps(message).encode() + b"\0")
            return await answer
        finally:
            del self._waiting[number]

    def on(self, event: str, handler: EventHandler, session: str | None = None) -> None:
        """Call `handler` with the parameters of each event of that name."""
        self._handlers[session, event].append(handler)

    def forget(self, session: str) -> None:
        """Take away the handlers of a session that has ended."""
        for key in [key for key in self._handlers if key[0] == session]:
            del self._handlers[key]

    def data_received(self, data: bytes) -> None:
        searched = len(self._received)
        self._received += data
        while (end := self._received.find(0, searched)) >= 0:
            message = bytes(self._received[:end])
            del self._received[: end + 1]
            searched = 0
            if not self._is_skipping:
                self._take(message)
            self._is_skipping = False
        if len(self._received) > _MAX_MESSAGE:
            # Whoever waits for it has to give up by himself: the browser has other pages too.
            self._received.clear()
            self._is_skipping = True

    def connection_lost(self, _: Exception | None) -> None:
        self._end()

    def _take(self, text: bytes) -> None:
        message = json.loads(text)
        if "id" not in message:
            event = (message.get("sessionId"), message["method"])
            for handler in list(self._handlers.get(event, ())):
                handler(message.get("params", {}))
            return
        answer = self._waiting.get(message["id"])
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(CommandRefused(message["error"].get("message", "refused")))
        else:
            answer.set_result(message.get("result", {}))

    def _end(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(BrowserGone())
