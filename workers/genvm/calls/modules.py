"""The executor's side of the modules: one question at a time, one answer.

Source: docs/spec/05-modules.md#connections.

The sockets are inherited, connected already. Nothing is sent before the first question, so that a
run which asks nothing costs a worker nothing. There is no time limit here: a module has its own,
and the run's deadline ends whoever waits for one that hangs.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

from genvm_manager.protocol import calldata
from genvm_manager.protocol.framing import FrameError, receive_frame, send_frame
from genvm_manager.protocol.module_frames import (
    FatalFault,
    MalformedFrame,
    ModuleHello,
    UserFault,
    decode_answer,
    encode_hello,
)
from genvm_manager.workers.genvm.run.contract_clock import Pause
from genvm_manager.workers.genvm.run.log import Log


class ModuleFailed(Exception):
    """A module cannot answer: the run ends as an internal error. The message names the module."""


class ModuleClient:
    """The connection to one module. `descriptor` None: the run has no such module."""

    def __init__(
        self,
        name: str,
        descriptor: int | None,
        hello: Callable[[], bytes],
        pause: Pause,
        log: Log,
    ) -> None:
        self._name = name
        self._descriptor = descriptor
        self._hello = hello
        self._pause = pause
        self._log = log
        self._connection: socket.socket | None = None

    def ask(self, question: bytes) -> Any:
        """The value that answers an encoded `ModuleRequest`.

        Raises `UserFault`, which is for the contract, and `ModuleFailed`.
        """
        began = time.monotonic()
        try:
            with self._pause:
                return decode_answer(self._exchange(question))
        except UserFault:
            raise
        except FatalFault as fault:
            raise ModuleFailed(f"the {self._name} module failed: {fault}") from None
        except (FrameError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ModuleFailed(f"the {self._name} module is gone: {reason}") from None
        except MalformedFrame as error:
            raise self.malformed(str(error)) from None
        finally:
            waited = time.monotonic() - began
            self._log.debug("module_asked", module=self._name, ms=round(waited * 1e3, 2))

    def malformed(self, what: str) -> ModuleFailed:
        """What to raise for an answer that is none."""
        return ModuleFailed(f"the {self._name} module's answer is malformed: {what}")

    def _exchange(self, question: bytes) -> bytes:
        if self._connection is None:
            self._connection = self._connected()
        send_frame(self._connection, question)
        return receive_frame(self._connection, timeout=None)

    def _connected(self) -> socket.socket:
        if self._descriptor is None:
            raise ModuleFailed(
                f"the run was started without the {self._name} module: start it "
                f"(genvm-manager module start {self._name}) and run the contract again"
            )
        hello = self._hello()
        connection = socket.socket(fileno=self._descriptor)
        send_frame(connection, hello)
        return connection


class Modules:
    """The two modules of a run, whose id and `host_data` (JSON) each is told first."""

    def __init__(
        self,
        descriptors: tuple[int | None, int | None],
        genvm_id: int,
        host_data: str,
        pause: Pause,
        log: Log,
    ) -> None:
        """`descriptors`: those of the LLM module and of the web module. `pause` lasts while one is
        asked."""

        def hello() -> bytes:
            return _hello(genvm_id, host_data)

        llm, web = descriptors
        self.llm = ModuleClient("llm", llm, hello, pause, log)
        self.web = ModuleClient("web", web, hello, pause, log)


def _hello(genvm_id: int, host_data: str) -> bytes:
    """The hello's body. Numbers that are no integers go as their text: calldata has none."""
    try:
        parsed = json.loads(host_data or "{}", parse_float=str, parse_constant=str)
        if isinstance(parsed, dict):
            return encode_hello(ModuleHello(genvm_id, parsed))
        reason = f"expected a map, got {type(parsed).__name__}"
    except (ValueError, RecursionError, calldata.EncodeError) as error:
        reason = str(error)
    raise ModuleFailed(f"host_data: {reason}; modules are told what it says")
