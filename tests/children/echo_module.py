"""A module for tests of the pool: it answers with what it is asked, or does as it is told.

What its configuration may say: `fail`, a `BadRequest` with that text; `refuse`, a `RequestFailed`;
`raise`, any other exception; `needs`, a file without which the process ends at once; `hang`: never
be ready; `slow_close`: never be closed; `deaf`: the same, and ignore SIGTERM.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genvm_manager.base.errors import BadRequest, RequestFailed
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol.module_frames import FatalFault, ModuleHello, ModuleRequest, UserFault
from genvm_manager.workers.worker.module import ModuleOptions

SLEEPER = "import time; time.sleep(600)"


class EchoModule:
    """See `genvm_manager.workers.worker.module.Module`."""

    def __init__(self, config: Mapping[str, Any], options: ModuleOptions, log: EventLog) -> None:
        self.config = config
        self.options = options
        self.log = log
        self.shortage = None
        self.cancelled = 0
        self.closed = 0

    async def open_session(self, hello: ModuleHello) -> EchoSession:
        """Open a session."""
        if hello.genvm_id < 0:
            raise FatalFault("no such run")
        return EchoSession(self, hello)

    async def close(self) -> None:
        """Close it, or not, as the configuration says."""
        if {"deaf", "slow_close"} & set(self.config):
            await asyncio.sleep(600)


class EchoSession:
    """See `genvm_manager.workers.worker.module.Session`."""

    def __init__(self, module: EchoModule, hello: ModuleHello) -> None:
        self._module = module
        self._hello = hello

    async def answer(self, request: ModuleRequest) -> Any:
        """Answer a request by the method of its name."""
        doing = getattr(self, f"_{request.name.lower()}")
        return await doing(request.payload)

    async def close(self) -> None:
        """Do nothing."""
        self._module.closed += 1

    async def _echo(self, payload: Any) -> Any:
        return payload

    async def _who(self, _: Any) -> dict[str, Any]:
        module = self._module
        return {
            "pid": os.getpid(),
            "genvm_id": self._hello.genvm_id,
            "host_data": self._hello.host_data,
            "config": module.config,
            "allow_empty_backends": module.options.allow_empty_backends,
            "cancelled": module.cancelled,
            "closed": module.closed,
        }

    async def _sleep(self, milliseconds: int) -> None:
        try:
            await asyncio.sleep(milliseconds / 1000)
        except asyncio.CancelledError:
            self._module.cancelled += 1
            raise

    async def _block(self, milliseconds: int) -> None:
        time.sleep(milliseconds / 1000)

    async def _spawn(self, _: Any) -> int:
        return os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", SLEEPER], os.environ)

    async def _say(self, text: str) -> None:
        self._module.log.info("said", text=text)

    async def _refuse(self, why: Any) -> None:
        raise UserFault(["REFUSED", "ECHO"], {"why": why})

    async def _fatal(self, why: str) -> None:
        raise FatalFault(why)

    async def _broken(self, why: str) -> None:
        raise KeyError(why)

    async def _huge(self, size: int) -> bytes:
        return bytes(size)

    async def _unencodable(self, _: Any) -> object:
        return object()

    async def _die(self, _: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


async def open_module(
    config: Mapping[str, Any], options: ModuleOptions, log: EventLog
) -> EchoModule:
    """Open the module, or fail as its configuration says."""
    if "fail" in config:
        raise BadRequest(config["fail"])
    if "refuse" in config:
        raise RequestFailed(config["refuse"])
    if "raise" in config:
        raise RuntimeError(config["raise"])
    if "needs" in config and not Path(config["needs"]).exists():
        os._exit(3)
    if "hang" in config:
        await asyncio.sleep(600)
    if "deaf" in config:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return EchoModule(config, options, log)
