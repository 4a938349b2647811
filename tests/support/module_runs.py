"""Modules of a real supervisor, without browser or provider, and runs that use them."""

from __future__ import annotations

from typing import Any

import msgspec

from genvm_manager.base.files.state_folder import run_scratch
from genvm_manager.protocol.framing import frame
from genvm_manager.protocol.ipc.commands import RestartModule, StartModule, StopModule
from genvm_manager.protocol.ipc.modules import ModuleKind, ModuleStatus
from genvm_manager.protocol.ipc.replies import Done, ModuleStopped
from genvm_manager.protocol.module_frames import (
    ModuleHello,
    ModuleRequest,
    encode_hello,
    encode_request,
)

from .supervisor import Client, RunningSupervisor
from .waiting import wait_until

LLM, WEB = ModuleKind.LLM, ModuleKind.WEB
LIGHT: dict[ModuleKind, dict[str, Any]] = {
    LLM: {"workers": 1},
    WEB: {"workers": 1, "webdriver_host": "http://127.0.0.1:9"},
}
"""Configurations that start quickly: nobody to ask, nothing to render with."""

_ASKED = {"prompt": "hello", "response_format": "text", "images": []}
QUESTION = frame(encode_hello(ModuleHello(7, {}))) + frame(
    encode_request(ModuleRequest("Prompt", {"payload": _ASKED, "remaining_fuel_as_gen": 1}))
)
"""What an executor says to the LLM module: a greeting and a prompt."""

ASKING: dict[str, Any] = {
    "is_sync": False,
    "modules": [LLM, WEB],
    "execution_data": QUESTION,
}


def start(client: Client, kind: ModuleKind, **config: Any) -> None:
    """Start a module that answers every request with a user error."""
    assert client.ask(_order(StartModule, kind, config)) == Done()


def restart(client: Client, kind: ModuleKind, **config: Any) -> None:
    """Restart a module with a configuration."""
    assert client.ask(_order(RestartModule, kind, config)) == Done()


def start_both(client: Client) -> None:
    """Start both modules."""
    for kind in ModuleKind:
        start(client, kind)


def stop(client: Client, kind: ModuleKind) -> bool:
    """Whether there was something to stop."""
    reply = client.ask(StopModule(kind))
    assert isinstance(reply, ModuleStopped)
    return reply.was_running


def module(client: Client, kind: ModuleKind) -> ModuleStatus:
    """Return the status of a module."""
    return client.status().modules[kind]


def pids(client: Client, kind: ModuleKind) -> list[int]:
    """Return the pids of a module's workers."""
    return [each.pid for each in module(client, kind).workers if each.pid is not None]


def start_asking_run(supervisor: RunningSupervisor) -> int:
    """Start a run that has its answer from the LLM module and keeps its connections."""
    before = _answered(supervisor)
    run_id = supervisor.client.start("asks_the_llm", **ASKING)
    wait_until(lambda: _answered(supervisor) > before)
    return run_id


def _answered(supervisor: RunningSupervisor) -> int:
    return len(list(run_scratch(supervisor.state).glob("*/answered")))


def _order(kind: type[StartModule], module: ModuleKind, config: dict[str, Any]) -> StartModule:
    encoded = msgspec.json.encode({**LIGHT[module], **config})
    return kind(module, encoded, allow_empty_backends=True, user_error=True)
