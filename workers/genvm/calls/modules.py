"""The executor's side of its connections to the modules: one question, then its answer.

Source: docs/spec/05-modules.md#connections.

The sockets are inherited, connected already. Nothing is sent before the first question, so that a
run which asks nothing costs a worker nothing. There is no time limit here: a module has its own,
and the run's deadline ends a run whose module hangs.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

from genvm_manager.protocol import calldata
from genvm_manager.protocol.errors import MalformedMessage
from genvm_manager.protocol.framing import FrameError, receive_frame, send_frame
from genvm_manager.protocol.module_frames import (
    FatalFault,
    ModuleHello,
    UserFault,
    decode_answer,
    encode_hello,
)
from genvm_manager.workers.genvm.engine.contract_clock import Pause
from genvm_manager.workers.genvm.engine.endings import ExecutorFault
from genvm_manager.workers.genvm.log import Log


class ModuleClient:
    """The connection to one module; with `descriptor` None the run has no such module."""

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
        """Return the value that answers an encoded `ModuleRequest`.

        Raises `UserFault`, which is for the contract, and `ExecutorFault`.
        """
        began = time.monotonic()
        try:
            with self._pause:
                return decode_answer(self._exchange(question))
        except UserFault:
            raise
        except FatalFault as fault:
            raise ExecutorFault(f"the {self._name} module failed: {fault}") from None
        except (FrameError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ExecutorFault(f"the {self._name} module is gone: {reason}") from None
        except MalformedMessage as error:
            raise self.malformed(str(error)) from None
        finally:
            waited = time.monotonic() - began
            self._log.debug("module_asked", module=self._name, ms=round(waited * 1e3, 2))

    def malformed(self, what: str) -> ExecutorFault:
        """Return the error for an answer that has not the form that it should have."""
        return ExecutorFault(f"the {self._name} module's answer is malformed: {what}")

    def _exchange(self, question: bytes) -> bytes:
        if self._connection is None:
            self._connection = self._connected()
        send_frame(self._connection, question)
        return receive_frame(self._connection, timeout=None)

    def _connected(self) -> socket.socket:
        if self._descriptor is None:
            raise ExecutorFault(
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
        """Use the `descriptors` of the LLM module and of the web module, in this order.

        `pause` lasts while a module is asked.
        """

        def hello() -> bytes:
            return _hello(genvm_id, host_data)

        llm, web = descriptors
        self.llm = ModuleClient("llm", llm, hello, pause, log)
        self.web = ModuleClient("web", web, hello, pause, log)


def _hello(genvm_id: int, host_data: str) -> bytes:
    """Return the hello's body. Numbers that are no integers go as their text: calldata has none."""
    try:
        parsed = json.loads(host_data or "{}", parse_float=str, parse_constant=str)
        if isinstance(parsed, dict):
            return encode_hello(ModuleHello(genvm_id, parsed))
        reason = f"expected a map, got {type(parsed).__name__}"
    except (ValueError, RecursionError, calldata.EncodeError) as error:
        reason = str(error)
    raise ExecutorFault(f"host_data: {reason}; the modules need it, so send valid JSON")
