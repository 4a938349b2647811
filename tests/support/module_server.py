"""A module for tests: real frames on a socketpair, answers by a function of the test's own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from genvm_manager.protocol.framing import FrameError, frame, receive_frame
from genvm_manager.protocol.module_frames import (
    FatalFault,
    ModuleHello,
    ModuleRequest,
    UserFault,
    decode_hello,
    decode_request,
    encode_answer,
    encode_fault,
)

from .waiting import TIMEOUT

DEADLINE = TIMEOUT


class Raw(NamedTuple):
    """An answer sent as it stands; after it the connection is closed."""

    sent: bytes


class Silence:
    """No answer at all, until the executor is gone."""


class ModuleServer:
    """Serves any number of executors, each on a thread.

    `answer` gives the value for `Ok`, a `Raw` or a `Silence`, or raises `UserFault` or
    `FatalFault`. `hellos` and `requests` note what came, `problems` what should not have.
    """

    def __init__(self, answer: Callable[[ModuleRequest], Any]) -> None:
        self.hellos: list[ModuleHello] = []
        self.requests: list[ModuleRequest] = []
        self.problems: list[Exception] = []
        self._answer = answer
        self._threads: list[threading.Thread] = []

    def connect(self) -> socket.socket:
        """Return the executor's end of a new connection."""
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=self._serve, args=(ours,), daemon=True)
        thread.start()
        self._threads.append(thread)
        return theirs

    def join(self) -> None:
        """Wait until every executor is gone."""
        for thread in self._threads:
            thread.join(DEADLINE)
        assert not any(thread.is_alive() for thread in self._threads)
        self._threads.clear()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.hellos.append(decode_hello(receive_frame(connection, timeout=DEADLINE)))
                while self._serve_one(connection):
                    pass
            except (FrameError, OSError):
                return
            except Exception as error:
                self.problems.append(error)

    def _serve_one(self, connection: socket.socket) -> bool:
        request = decode_request(receive_frame(connection, timeout=DEADLINE))
        self.requests.append(request)
        try:
            value = self._answer(request)
        except (UserFault, FatalFault) as fault:
            connection.sendall(frame(encode_fault(fault)))
            return True
        match value:
            case Raw(sent):
                connection.sendall(sent)
                return False
            case Silence():
                return True
        connection.sendall(frame(encode_answer(value)))
        return True


def prompts(answer: Callable[[str], Any]) -> ModuleServer:
    """Return an LLM module that answers each prompt's text with data, at no cost."""

    def answered(request: ModuleRequest) -> Any:
        data = answer(request.payload["payload"]["prompt"])
        if isinstance(data, (Raw, Silence)):
            return data
        return {"data": data, "consumed_gen": 0}

    return ModuleServer(answered)
