"""The requests of nondet blocks that modules answer: prompts, pages, HTTP.

Source: docs/spec/05-modules.md#connections and docs/spec/06-contracts.md#imports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from genvm_manager.protocol import calldata
from genvm_manager.protocol.framing import MAX_FRAME
from genvm_manager.protocol.module_frames import (
    HttpMethod,
    ModuleRequest,
    UserFault,
    encode_request,
)

from .context import CallContext
from .modules import ModuleClient
from .request_fields import RequestParser
from .sdk import OperationFailed, SdkError, call_host
from .shared_run import Run

_FORMATS: dict[str, type] = {"text": str, "json": dict}
"""What an answer is, by the `response_format` that was asked for."""

_MAX_IMAGES = 2
_JUDGED = ("task", "criteria", "input")
_TEMPLATES: dict[str, tuple[tuple[str, ...], type]] = {
    "EqComparative": (("leader_answer", "validator_answer", "principle"), bool),
    "EqNonComparativeValidator": ((*_JUDGED, "output"), bool),
    "EqNonComparativeLeader": (_JUDGED, str),
}
"""For each prompt of the node's own: the texts that it is filled with, and what an answer is."""

_METHODS: tuple[str, ...] = get_args(HttpMethod)
_PAGES: dict[str, tuple[str, type]] = {
    "text": ("text", str),
    "html": ("text", str),
    "screenshot": ("image", bytes),
}
"""For each mode of rendering: the key of its answer, and what it holds."""

_MAX_PAGE = MAX_FRAME - (1 << 20)
"""Bytes of a page: what is said around it has to fit into the frame as well."""

_MAX_FUEL = 1 << 64


class ModuleCalls:
    """Asks the modules for one call; `memory_size` tells the bytes that its guest has now.

    Every answer is calldata: `{"ok": value}`, or `{"error": {"causes": [str…], "ctx": map}}` for
    what the contract may catch. An answer of another form ends the run: `ExecutorFault`.
    """

    def __init__(self, run: Run, context: CallContext, memory_size: Callable[[], int]) -> None:
        self._run = run
        self._context = context
        self._memory_size = memory_size

    def exec_prompt(self, request: Any) -> bytes:
        """Have a language model answer a prompt of the contract."""
        fields = RequestParser(request)
        payload = {
            "prompt": fields.get("prompt", str),
            "response_format": fields.one_of("response_format", _FORMATS, "text"),
            "images": fields.all_bytes("images"),
        }
        if len(payload["images"]) > _MAX_IMAGES:
            raise OperationFailed(SdkError.INVAL)
        return self._prompt("Prompt", payload, _FORMATS[payload["response_format"]])

    def exec_prompt_template(self, request: Any) -> bytes:
        """Have a language model answer a prompt of the node, filled with texts of the contract."""
        fields = RequestParser(request)
        template = fields.one_of("template", _TEMPLATES)
        names, kind = _TEMPLATES[template]
        payload = {"template": template} | {name: fields.get(name, str) for name in names}
        return self._prompt("PromptTemplate", payload, kind)

    def _prompt(self, name: str, payload: dict[str, Any], kind: type) -> bytes:
        llm, host = self._run.modules.llm, self._run.host
        fuel = call_host(host.remaining_fuel_as_gen)
        question = {"payload": payload, "remaining_fuel_as_gen": fuel}

        def checked(answer: Any) -> Any:
            match answer:
                case {"data": data, "consumed_gen": int(consumed)} if type(data) is kind:
                    if 0 <= consumed < _MAX_FUEL:
                        host.consume_fuel(consumed)
                        return data
            raise llm.malformed(f"expected data, a {kind.__name__}, and consumed_gen, an int")

        return _answered(llm, ModuleRequest(name, question), checked)

    def web_request(self, request: Any) -> bytes:
        """Have an HTTP request sent, and return its response."""
        fields = RequestParser(request)
        asked = {
            "method": fields.one_of("method", _METHODS, "GET"),
            "url": fields.get("url", str),
            "headers": fields.headers("headers"),
            "body": fields.get("body", bytes, None),
            "sign": fields.get("sign", bool, False),
        }
        web = self._run.modules.web

        def checked(answer: Any) -> Any:
            match answer:
                case {"response": {"status": int(), "headers": dict(), "body": bytes() | None}}:
                    return answer
            raise web.malformed("expected a response with status, headers and body")

        return _answered(web, ModuleRequest("Request", [asked, self._room()]), checked)

    def web_render(self, request: Any) -> bytes:
        """Have a page rendered by a browser, and return what it shows."""
        fields = RequestParser(request)
        asked = {
            "mode": fields.one_of("mode", _PAGES, "text"),
            "url": fields.get("url", str),
            "wait_after_loaded": fields.duration("wait_after_loaded", "0ms"),
        }
        web = self._run.modules.web
        key, kind = _PAGES[asked["mode"]]

        def checked(answer: Any) -> Any:
            if isinstance(answer, dict) and type(answer.get(key)) is kind:
                return answer
            raise web.malformed(f"expected {key}, a {kind.__name__}")

        return _answered(web, ModuleRequest("Render", [asked, self._room()]), checked)

    def _room(self) -> int:
        """Return how many bytes an answer may have: the guest needs memory for it."""
        return max(0, min(self._context.memory_limit - self._memory_size(), _MAX_PAGE))


def _answered(module: ModuleClient, request: ModuleRequest, check: Callable[[Any], Any]) -> bytes:
    question = encode_request(request)
    if len(question) > MAX_FRAME:
        raise OperationFailed(SdkError.OVERFLOW)
    try:
        return calldata.encode({"ok": check(module.ask(question))})
    except UserFault as fault:
        return calldata.encode({"error": {"causes": fault.causes, "ctx": fault.context}})
