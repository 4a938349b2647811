"""The DevTools protocol over a pair of pipes: commands, their results, and events by session.

A browser that was started with `--remote-debugging-pipe` reads JSON with a NUL after each message
from its descriptor 3 and writes the same to 4; it ends when its pipe is closed.
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
    """The browser has ended."""


class CommandRefused(Exception):
    """The browser could not carry out a command; the message is its own."""


class DevTools(asyncio.Protocol):
    """The debugging pipe of a browser. A session is a page; None is the browser itself."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._handlers: dict[tuple[str | None, str], list[EventHandler]] = defaultdict(list)
        self._received = bytearray()
        self._is_skipping = False
        self._writer: asyncio.WriteTransport | None = None
        self._reader: asyncio.BaseTransport | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the browser has ended."""

    async def attach(self, to_browser: int, from_browser: int) -> None:
        """Use two descriptors as the pipe, and close them at the end."""
        loop = asyncio.get_running_loop()
        source = os.fdopen(from_browser, "rb", buffering=0)
        sink = os.fdopen(to_browser, "wb", buffering=0)
        self._reader, _ = await loop.connect_read_pipe(lambda: self, source)
        self._writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, sink)

    def close(self) -> None:
        """Close the pipes, which ends the browser."""
        for transport in (self._writer, self._reader):
            if transport is not None:
                transport.close()
        self._end()

    async def send(
        self, method: str, session: str | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """Send a command and return its result. Raises `CommandRefused` or `BrowserGone`."""
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
        """Call `handler` with the parameters of each event of this name."""
        self._handlers[session, event].append(handler)

    def forget(self, session: str) -> None:
        """Remove the handlers of a session that has ended."""
        for key in [key for key in self._handlers if key[0] == session]:
            del self._handlers[key]

    def data_received(self, data: bytes) -> None:
        """Handle all complete messages; skip a message that is too long."""
        searched = len(self._received)
        self._received += data
        while (end := self._received.find(0, searched)) >= 0:
            message = bytes(self._received[:end])
            del self._received[: end + 1]
            searched = 0
            if not self._is_skipping:
                self._handle(message)
            self._is_skipping = False
        if len(self._received) > _MAX_MESSAGE:
            # The command that waits for it will time out; other pages of the browser go on.
            self._received.clear()
            self._is_skipping = True

    def connection_lost(self, _: Exception | None) -> None:
        """Fail all commands under way."""
        self._end()

    def _handle(self, text: bytes) -> None:
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
