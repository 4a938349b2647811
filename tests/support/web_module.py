"""The web module as a worker has it, in the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from genvm_manager.base.logging.event_log import event_log
from genvm_manager.protocol.module_frames import ModuleHello, ModuleRequest
from genvm_manager.workers.web.faults import WebFault
from genvm_manager.workers.web.module import open_module
from genvm_manager.workers.worker.module import Module, Session

T = TypeVar("T")

NO_BROWSER = {"browser_path": "/nowhere/chromium"}
HELLO = ModuleHello(7, {"node_address": "0x" + "0" * 40, "tx_id": "0x1"})


@dataclass(frozen=True)
class Options:
    """Options of a module's start."""

    allow_empty_backends: bool = False
    tells_of_config: bool = True
    unset_variables: dict[str, str] = field(default_factory=dict)


@dataclass
class Client:
    """A session, and how an executor would use it."""

    module: Module
    session: Session

    async def another(self) -> Client:
        """Open another session with the same module; the caller closes it."""
        return Client(self.module, await self.module.open_session(HELLO))

    async def request(self, url: str, method: str = "GET", **more: Any) -> dict[str, Any]:
        """Send an HTTP request and return the response."""
        limit = more.pop("limit", None)
        payload = {"method": method, "url": url, "headers": {}, "body": None, "sign": False, **more}
        answer = await self.session.answer(ModuleRequest("Request", [payload, limit]))
        response: dict[str, Any] = answer["response"]
        return response

    async def render(self, url: str, mode: str = "text", **more: Any) -> Any:
        """Render a page and return its content."""
        limit = more.pop("limit", None)
        payload = {"mode": mode, "url": url, "wait_after_loaded": "0ms", **more}
        answer = await self.session.answer(ModuleRequest("Render", [payload, limit]))
        return answer["image" if mode == "screenshot" else "text"]

    async def refused(self, asking: Coroutine[Any, Any, Any]) -> WebFault:
        """Await something and return the fault that it raises."""
        try:
            answer = await asking
        except WebFault as fault:
            return fault
        raise AssertionError(f"it was not refused: {answer!r:.200}")


def with_module(
    config: dict[str, Any], work: Callable[[Client], Coroutine[Any, Any, T]], timeout: float = 90
) -> T:
    """Run `work` with a client of a module that has this configuration."""

    async def run() -> T:
        module = await open_module(config, Options(), event_log("web"))
        try:
            session = await module.open_session(HELLO)
            try:
                return await asyncio.wait_for(work(Client(module, session)), timeout)
            finally:
                await session.close()
        finally:
            await module.close()

    return asyncio.run(run())
