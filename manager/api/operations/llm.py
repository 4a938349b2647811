"""`/llm/check`: whether LLM providers work (docs/spec/01-http-api.md#llm-check)."""

from __future__ import annotations

from genvm_manager.manager.api.declaration.content import Json
from genvm_manager.manager.api.declaration.errors import UNAVAILABLE, bad_request, busy, failed
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.sources import Sources
from genvm_manager.protocol.http_requests import LlmCheckBody
from genvm_manager.protocol.ipc.commands import CheckLlm
from genvm_manager.protocol.ipc.replies import LlmChecked
from genvm_manager.protocol.limits import MODULE_TIMEOUT
from genvm_manager.protocol.llm_check import CheckRow

_BODY = Json(
    LlmCheckBody,
    {
        "configs": [
            {
                "host": "https://api.openai.com",
                "provider": "openai-compatible",
                "model": "gpt-4o",
                "key": "${ENV[OPENAIKEY]}",
            }
        ],
        "test_prompts": [
            {
                "system_message": None,
                "user_message": "Say hello.",
                "temperature": 0.5,
                "images": [],
                "max_tokens": 50,
                "use_max_completion_tokens": False,
            }
        ],
    },
)
_EXAMPLE_ROW = {
    "config_index": 0,
    "prompt_index": 0,
    "available": True,
    "error": None,
    "response": "Hello!",
}


def check(sources: Sources) -> list[CheckRow]:
    """Return a row for each configuration and prompt."""
    body = _BODY.read()
    command = CheckLlm(body.configs, body.test_prompts)
    limiter = sources.limits.enders
    return sources.supervisor.ask(command, LlmChecked, MODULE_TIMEOUT, limiter).rows


OPERATIONS = (
    Operation(
        "POST",
        "/llm/check",
        "Modules",
        "Check whether LLM providers work",
        check,
        Json(CheckRow, [_EXAMPLE_ROW], is_list=True),
        "Answers with one row for each configuration and prompt, in this order. No module needs "
        "to run.",
        bodies=(_BODY,),
        errors=(
            bad_request("test_prompts: missing"),
            failed(
                "The providers could not be asked.",
                "no process to ask the providers: Permission denied",
            ),
            UNAVAILABLE,
            busy(
                "Too many checks are running.",
                "4 checks are under way already; try again later",
            ),
        ),
    ),
)
