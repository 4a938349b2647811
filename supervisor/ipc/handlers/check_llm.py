"""`CheckLlm`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import CheckLlm
from genvm_manager.protocol.ipc.replies import LlmChecked
from genvm_manager.supervisor.service import Service


async def check_llm(service: Service, command: CheckLlm) -> LlmChecked:
    """Answers when all providers have; ends when the client leaves."""
    return LlmChecked(await service.controls.check_llm(command))
