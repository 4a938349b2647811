"""`/module`: the LLM and web modules, started and stopped."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Request, Response, request
from msgspec import Struct

from genvm_manager.manager.api import json_response
from genvm_manager.manager.api.limits.transfers import read_body
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.bodies import from_json
from genvm_manager.protocol.http_api import ModuleRestarted, ModuleStarted, ModuleStopped
from genvm_manager.protocol.ipc.commands import RestartModule, StartModule
from genvm_manager.protocol.ipc.modules import ModuleKind

_KINDS = ", ".join(ModuleKind)


class ModuleBody(Struct, frozen=True):
    """`module_type` in any letter case: Studio sends `Llm` and `Web`."""

    module_type: str

    def __post_init__(self) -> None:
        if self.module_type.lower() not in list(ModuleKind):
            raise ValueError(f"module_type: expected {_KINDS}, got {self.module_type[:40]!r}")

    @property
    def kind(self) -> ModuleKind:
        return ModuleKind(self.module_type.lower())


class ModuleStartBody(ModuleBody, frozen=True):
    """`config`, which may hold keys, is neither logged nor returned."""

    config: dict[str, Any] | None = None
    allow_empty_backends: bool = False
    user_error: bool = False

    def command(self, kind: type[StartModule]) -> StartModule:
        """The supervisor's command for it."""
        config = None if self.config is None else msgspec.json.encode(self.config)
        return kind(self.kind, config, self.allow_empty_backends, self.user_error)


def routes(client: SupervisorClient) -> Blueprint:
    """`POST /module/start`, `/module/stop` and `/module/restart`.

    Source: docs/spec/01-http-api.md#modules.
    """
    blueprint = Blueprint("modules", __name__)

    @blueprint.post("/module/start")
    def start() -> Response:
        client.start_module(_start_body(request).command(StartModule))
        return json_response(ModuleStarted())

    @blueprint.post("/module/restart")
    def restart() -> Response:
        client.start_module(_start_body(request).command(RestartModule))
        return json_response(ModuleRestarted())

    @blueprint.post("/module/stop")
    def stop() -> Response:
        kind = from_json(read_body(request), ModuleBody).kind
        was_running = client.stop_module(kind).was_running
        return json_response(
            ModuleStopped("module_stopped" if was_running else "module_not_running")
        )

    return blueprint


def _start_body(request: Request) -> ModuleStartBody:
    return from_json(read_body(request), ModuleStartBody)
