"""One blocking connection to the supervisor's Unix socket."""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress
from pathlib import Path

from genvm_manager.base.errors import ManagerError, Unavailable
from genvm_manager.protocol.framing import FrameError, FrameParser, frame
from genvm_manager.protocol.ipc import codec
from genvm_manager.protocol.ipc.commands import Command, Hello
from genvm_manager.protocol.ipc.replies import Failure, Reply, Welcome

ANSWER_GRACE = 10.0
"""Seconds that the supervisor has for a command beyond the time that the command itself waits."""

HANGUP_GRACE = 0.5
"""Seconds during which a caller's hang-up is ignored: some clients close their sending side as soon
as the request is sent, and still read the answer."""

CALLER_GONE = "you closed your side of the connection before the answer came"
SUPERVISOR_LOST = "the supervisor cannot be reached; it is restarting or stopped"


class ConnectionLost(Unavailable):
    """The supervisor closed the connection.

    `sent`: the whole command had been sent, so that the supervisor may have acted on it.
    """

    def __init__(self, *, sent: bool) -> None:
        super().__init__(SUPERVISOR_LOST)
        self.sent = sent


class Connection:
    """One connection to the supervisor: a greeting, then commands one at a time."""

    def __init__(self, path: Path, client: str) -> None:
        """Connect and greet. Raises `Unavailable`."""
        self._parser = FrameParser(codec.MAX_REPLY)
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        except OSError as error:
            raise Unavailable(f"no connection to the supervisor: {error.strerror}") from None
        try:
            self._socket.settimeout(ANSWER_GRACE)
            self._socket.connect(str(path))
            welcome = self.ask(Hello(codec.VERSION, client), ANSWER_GRACE)
        except OSError:
            self.close()
            raise ConnectionLost(sent=False) from None
        except BaseException:
            self.close()
            raise
        if not isinstance(welcome, Welcome):
            self.close()
            reason = welcome.message if isinstance(welcome, Failure) else "it sent no welcome"
            raise Unavailable(f"the supervisor refused this process: {reason}")
        self.supervisor_pid = welcome.pid

    def ask(
        self,
        command: Hello | Command,
        timeout: float,
        caller: socket.socket | None = None,
    ) -> Reply:
        """Return the reply to `command`, within `timeout` seconds or until `caller` hangs up.

        Raises `ConnectionLost`, `Unavailable` after the timeout or when
        the caller has hung up, and `ManagerError`
        for an invalid reply. After any of them the connection must not be used again.
        """
        deadline = time.monotonic() + timeout
        try:
            self._socket.settimeout(timeout)
            self._socket.sendall(frame(codec.encode(command)))
        except OSError:
            raise ConnectionLost(sent=False) from None
        try:
            return codec.decode_reply(self._next_frame(deadline, caller))
        except TimeoutError:
            raise Unavailable(f"the supervisor did not answer within {timeout:.0f} s") from None
        except OSError:
            raise ConnectionLost(sent=True) from None
        except FrameError as error:
            raise ManagerError(f"the supervisor's reply: {error}") from None

    def _next_frame(self, deadline: float, caller: socket.socket | None) -> bytes:
        while True:
            self._await_bytes(deadline, caller)
            received = self._socket.recv(1 << 16)
            if not received:
                raise ConnectionResetError("the stream ended")
            for body in self._parser.feed(received):
                return body

    def _await_bytes(self, deadline: float, caller: socket.socket | None) -> None:
        """Return when bytes can be read. Raises `TimeoutError`, and `Unavailable` when
        the caller has hung up.
        """
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        left = max(0.0, deadline - time.monotonic())
        at_first = left if caller is None else min(left, HANGUP_GRACE)
        if poll.poll(at_first * 1000):
            return
        if caller is None or at_first == left:
            raise TimeoutError
        poll.register(caller, select.POLLRDHUP)
        ready = [descriptor for descriptor, _ in poll.poll((left - at_first) * 1000)]
        if not ready:
            raise TimeoutError
        if self._socket.fileno() not in ready:
            raise Unavailable(CALLER_GONE)

    def abort(self) -> None:
        """Make a thread that waits on this connection raise `ConnectionLost` at once."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
