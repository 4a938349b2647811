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
from .prompts import read_prompt
from .selection import Wanted, wanted_backends
from .transport import Transport

CONSUMED_GEN = 0
"""The price of a prompt for the contract: none, as the operator pays the providers."""


async def open_module(
    config: Mapping[str, Any], options: ModuleOptions, log: EventLog
) -> LlmModule:
    """Return the module of a configuration, ready for sessions.

    Raises `BadRequest` naming the invalid key, and `RequestFailed` when no backend is usable,
    unless `options.allow_empty_backends` is set.
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

    def __init__(self, client: PromptClient) -> None:
        self._client = client

    @property
    def shortage(self) -> str | None:
        """Why there is no usable backend, or None; see `workers.worker.module.Module`."""
        return self._client.shortage

    async def open_session(self, hello: ModuleHello) -> LlmSession:
        """Open the session of a run."""
        return LlmSession(self._client, hello.genvm_id, wanted_backends(hello.host_data))

    async def close(self) -> None:
        """Close the connections to providers."""
        await self._client.transport.close()


class LlmSession:
    """See `workers.worker.module.Session`."""

    def __init__(self, client: PromptClient, genvm_id: int, wanted: Wanted) -> None:
        self._client = client
        self._genvm_id = genvm_id
        self._wanted = wanted

    async def answer(self, request: ModuleRequest) -> dict[str, Any]:
        """Return `{"data": str | map | bool, "consumed_gen": int}`; see `worker.module.Session`."""
        prompt = read_prompt(request, self._client.config.templates)
        data = await self._client.answer(prompt, self._wanted, self._genvm_id)
        return {"data": data, "consumed_gen": CONSUMED_GEN}

    async def close(self) -> None:
        """Do nothing: a session holds nothing of its own."""


def _report(read: ReadConfig, log: EventLog) -> None:
    if read.unknown_keys:
        log.warning("llm_config_unknown_keys", keys=", ".join(read.unknown_keys))
    for dropped in read.dropped:
        log.warning("llm_backend_dropped", backend=dropped.backend, reason=dropped.reason)
