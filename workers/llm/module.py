"""The LLM module: answers the prompts of contracts (docs/spec/05-modules.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genvm_manager.base.errors import RequestFailed
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol.module_frames import ModuleHello, ModuleRequest
from genvm_manager.workers.worker.module import ModuleOptions

from .config import ReadConfig, read_config, shortage
from .prompt_client import PromptClient
from .questions import read_question
from .selection import Wanted, wanted_backends
from .transport import Transport

CONSUMED_GEN = 0
"""What a prompt costs the contract: providers' prices are the operator's own affair."""


async def open_module(
    config: Mapping[str, Any], options: ModuleOptions, log: EventLog
) -> LlmModule:
    """The module of a configuration, ready for sessions.

    Raises `BadRequest` naming the key at fault, and `RequestFailed` when no backend is usable,
    unless `options.allow_empty_backends`.
    """
    read = read_config(config, options.unset_variables)
    if options.tells_of_config:
        _report(read, log)
    if read.config.backends:
        return LlmModule(PromptClient(read.config, Transport(read.config.proxy), log))
    if not options.allow_empty_backends:
        raise RequestFailed(f"backends: {shortage(read)}, or start with allow_empty_backends")
    return LlmModule(PromptClient(read.config, Transport(read.config.proxy), log, shortage(read)))


class LlmModule:
    """See `genvm_manager.workers.worker.module.Module`."""

    def __init__(self, asker: PromptClient) -> None:
        self._asker = asker

    @property
    def shortage(self) -> str | None:
        """See `genvm_manager.workers.worker.module.Module`."""
        return self._asker.shortage

    async def open_session(self, hello: ModuleHello) -> LlmSession:
        """See `genvm_manager.workers.worker.module.Module`."""
        return LlmSession(self._asker, hello.genvm_id, wanted_backends(hello.host_data))

    async def close(self) -> None:
        """See `genvm_manager.workers.worker.module.Module`."""
        await self._asker.transport.close()


class LlmSession:
    """See `workers.worker.module.Session`."""

    def __init__(self, asker: PromptClient, genvm_id: int, wanted: Wanted) -> None:
        self._asker = asker
        self._genvm_id = genvm_id
        self._wanted = wanted

    async def answer(self, request: ModuleRequest) -> dict[str, Any]:
        """`{"data": str | map | bool, "consumed_gen": int}`; see `worker.module.Session`."""
        question = read_question(request, self._asker.config.templates)
        data = await self._asker.ask(question, self._wanted, self._genvm_id)
        return {"data": data, "consumed_gen": CONSUMED_GEN}

    async def close(self) -> None:
        """See `workers.worker.module.Session`."""


def _report(read: ReadConfig, log: EventLog) -> None:
    if read.unknown_keys:
        keys = ", ".join(read.unknown_keys)
        log.warning("llm_config_keys_without_meaning", keys=keys)
    for dropped in read.dropped:
        fields = {"backend": dropped.backend, "reason": dropped.reason}
        log.warning("llm_backend_dropped", **fields)
