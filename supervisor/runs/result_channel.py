"""The supervisor's end of the socket over which an executor hands in its result (host 1)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol.host.messages import ConsumeResult, HostProtocolError, Request
from genvm_manager.protocol.host.server import RequestParser

_CHUNK = 1 << 18

Keep = Callable[[bytes], "asyncio.Future[None]"]
"""Records a result. Its future is done when the result is on the disk, or has `StoreFailed`."""


class ResultChannel:
    """Takes one `consume_result`. Anything else is logged and ends the connection.

    Source: docs/spec/04-executor.md.

    The answer says that the result is on record. It is also given when the store refuses the
    result, which is then recorded with the end of the run.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: socket.socket,
        run_id: int,
        keep: Keep,
        log: EventLog,
    ) -> None:
        self.result: bytes | None = None
        self._keep = keep
        self._loop = loop
        self._connection = connection
        self._run_id = run_id
        self._log = log
        self._parser = RequestParser()
        self._is_open = True
        connection.setblocking(False)
        loop.add_reader(connection, self._read)

    def drain(self) -> None:
        """Read what the executor sent before it ended."""
        while self._is_open and self._read():
            pass

    def close(self) -> None:
        """Close the socket. May be called at any time."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._connection)
            self._connection.close()

    def _read(self) -> bool:
        """Read once. Return False when there is nothing to read now."""
        try:
            received = self._connection.recv(_CHUNK)
            if not received:
                self._end()
            for request in self._parser.feed(received):
                self._take(request)
        except BlockingIOError:
            return False
        except HostProtocolError as error:
            self._refuse(str(error))
        except OSError as error:
            self._break(error)
        return True

    def _take(self, request: Request) -> None:
        if not isinstance(request, ConsumeResult):
            raise HostProtocolError(f"{type(request).__name__} is not served here")
        if self.result is not None:
            raise HostProtocolError("a second result")
        self.result = request.result
        self._keep(self.result).add_done_callback(self._answer)

    def _answer(self, kept: asyncio.Future[None]) -> None:
        if kept.cancelled() or not self._is_open:
            return
        error = kept.exception()
        if error is not None:
            self._log.warning("result_not_recorded_yet", run=self._run_id, error=str(error))
        try:
            self._connection.send(b"\0")
        except OSError as gone:
            self._break(gone)

    def _break(self, error: OSError) -> None:
        """Close: the executor has closed without reading our answer. All it sent is read."""
        self._log.debug("result_channel_broke", run=self._run_id, error=str(error))
        self.close()

    def _end(self) -> None:
        if not self._parser.idle:
            self._refuse("the stream ended inside a request")
        self.close()

    def _refuse(self, reason: str) -> None:
        self._log.warning("result_channel_refused", run=self._run_id, reason=reason)
        self.close()
