"""The LLM module in this process, asked as an executor asks it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.logging.lines import TRACE, formatter
from genvm_manager.protocol.module_frames import ModuleHello, ModuleRequest
from genvm_manager.workers.llm.module import LlmModule, open_module

from .waiting import TIMEOUT

DEADLINE = TIMEOUT
T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """See `genvm_manager.workers.worker.module.ModuleOptions`."""

    allow_empty_backends: bool = False
    tells_of_config: bool = True
    unset_variables: dict[str, str] = field(default_factory=dict)


class Lines(logging.Handler):
    """Keeps what is logged, as it would stand in a file."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(formatter("json", "llm worker"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.lines.append(self.format(record))

    @property
    def text(self) -> str:
        """Everything that was logged."""
        return "\n".join(self.lines)


@dataclass
class OpenedModule:
    """A module that is open, and what it logged."""

    module: LlmModule
    log: Lines

    async def request(self, name: str, payload: dict[str, Any], **host_data: Any) -> Any:
        """Send one request and return `data` of its answer. Raises what the session raises."""
        session = await self.module.open_session(ModuleHello(7, host_data))
        wrapped = {"payload": payload, "remaining_fuel_as_gen": 10**18}
        answer = await session.answer(ModuleRequest(name, wrapped))
        assert answer.keys() == {"data", "consumed_gen"}
        assert answer["consumed_gen"] == 0
        await session.close()
        return answer["data"]

    async def prompt(
        self, text: str = "hello", host: dict[str, Any] | None = None, **more: Any
    ) -> Any:
        """Send a prompt and return the answer."""
        return await self.request("Prompt", {"prompt": text, **more}, **(host or {}))

    async def judge(self, leader: str = "a", validator: str = "b", principle: str = "p") -> Any:
        """Send a comparison and return the answer."""
        texts = {"leader_answer": leader, "validator_answer": validator, "principle": principle}
        return await self.request("PromptTemplate", {"template": "EqComparative", **texts})


@contextlib.asynccontextmanager
async def llm_module(config: dict[str, Any], **options: Any) -> AsyncIterator[OpenedModule]:
    """Open the module of a configuration; log everything, also of the HTTP library."""
    lines = Lines()
    root = logging.getLogger()
    before = root.level
    root.addHandler(lines)
    root.setLevel(TRACE)
    try:
        module = await open_module(config, Options(**options), event_log("tests.llm"))
        try:
            yield OpenedModule(module, lines)
        finally:
            await module.close()
    finally:
        root.removeHandler(lines)
        root.setLevel(before)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`, within the deadline of a test."""
    return asyncio.run(asyncio.wait_for(work, DEADLINE))
