"""The session loop: one executor's connection from its hello to its end.

Source: docs/spec/05-modules.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol, TypeVar

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol.errors import MalformedMessage
from genvm_manager.protocol.framing import MAX_FRAME, FrameError, StreamEnded
from genvm_manager.protocol.module_frames import (
    FatalFault,
    UserFault,
    decode_hello,
    decode_request,
    encode_answer,
    encode_fault,
)

from .module import Module, Session

_MAX_INLINE = 256 << 10
"""Bytes of a frame that is decoded on the event loop; a larger one goes to a thread."""

T = TypeVar("T")


class Frames(Protocol):
    """A connection that carries the bodies of frames."""

    async def receive(self) -> bytes:
        """Return the next body. Raises `StreamEnded`, or `FrameError`: no more comes then."""

    async def send(self, body: bytes) -> None:
        """Send a body. Raises `FrameError` when the other side is gone or does not read."""

    async def close(self) -> None:
        """Wait until all is sent, and close the connection."""


class SessionLoop:
    """Serves one connection: one answer per request, in order, until executor or module ends it."""

    def __init__(self, frames: Frames, module: Module, log: EventLog) -> None:
        self._frames = frames
        self._module = module
        self._log = log

    async def run(self) -> None:
        """Serve the connection until it ends or this is cancelled, and close it."""
        try:
            await self._serve()
        except StreamEnded:
            pass
        except (FrameError, MalformedMessage, FatalFault) as reason:
            self._log.warning("connection_refused", reason=str(reason))
            with contextlib.suppress(FrameError):
                await self._frames.send(encode_fault(FatalFault(str(reason))))
        except Exception:
            self._log.failure("connection_failed")
        finally:
            await self._frames.close()

    async def _serve(self) -> None:
        hello = await _decoded(decode_hello, await self._frames.receive())
        session = await self._module.open_session(hello)
        try:
            await self._answer_all(session)
        finally:
            await session.close()

    async def _answer_all(self, session: Session) -> None:
        """Answer requests. The next one is awaited already during an answer: that is how the end
        of an executor is noticed.
        """
        next_body = asyncio.ensure_future(self._frames.receive())
        try:
            while True:
                body = await next_body
                next_body = asyncio.ensure_future(self._frames.receive())
                answering = asyncio.ensure_future(self._answer(session, body))
                await _finish(answering, next_body)
                await self._frames.send(answering.result())
        finally:
            next_body.cancel()

    async def _answer(self, session: Session, body: bytes) -> bytes:
        request = await _decoded(decode_request, body)
        try:
            answer = encode_answer(await session.answer(request))
            if len(answer) > MAX_FRAME:
                raise FatalFault(f"an answer of {len(answer)} bytes is too long")
        except (UserFault, FatalFault) as fault:
            answer = encode_fault(fault)
        except Exception:
            self._log.failure("request_failed", request=request.name)
            answer = encode_fault(FatalFault("internal error of the module; its log says more"))
        return answer


async def _finish(answering: asyncio.Future[bytes], next_body: asyncio.Future[bytes]) -> None:
    """Wait for the answer; cancel it and raise when the connection ends before."""
    try:
        await asyncio.wait({answering, next_body}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            next_body.result()
            await asyncio.wait({answering})
    finally:
        if answering.cancel():
            await asyncio.wait({answering})


async def _decoded(decode: Callable[[bytes], T], body: bytes) -> T:
    if len(body) > _MAX_INLINE:
        return await asyncio.to_thread(decode, body)
    return decode(body)
