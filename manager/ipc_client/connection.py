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

HANGUP_BLINDNESS = 0.5
"""Seconds for which a caller that has closed its side is answered all the same: some do that once
their request is sent, and still read."""


class ConnectionLost(Unavailable):
    """The supervisor's side closed. `sent`: the whole command had gone out, it may have acted."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__("the supervisor cannot be reached; it is restarting or stopped")
        self.sent = sent


class CallerGone(Unavailable):
    """Whoever the answer is for has hung up."""

    def __init__(self) -> None:
        super().__init__("you closed your side of the connection before the answer came")


class Connection:
    """One conversation with the supervisor: a greeting, then commands one at a time."""

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
        """The reply to `command` within `timeout` seconds, or until `caller` hangs up.

        Raises `ConnectionLost`, `Unavailable` when it takes longer, `CallerGone`, `ManagerError`
        for a reply that is not understood. After any of them the connection is of no more use.
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
        """Return when something has come. Raises `TimeoutError`, `CallerGone`."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        left = max(0.0, deadline - time.monotonic())
        blind = left if caller is None else min(left, HANGUP_BLINDNESS)
        if poll.poll(blind * 1000):
            return
        if caller is None or blind == left:
            raise TimeoutError
        poll.register(caller, select.POLLRDHUP)
        ready = [descriptor for descriptor, _ in poll.poll((left - blind) * 1000)]
        if not ready:
            raise TimeoutError
        if self._socket.fileno() not in ready:
            raise CallerGone

    def abort(self) -> None:
        """Make a thread that waits on this connection return at once with `ConnectionLost`."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()
