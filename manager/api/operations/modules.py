"""`/module`: start and stop the LLM and web modules (docs/spec/01-http-api.md#modules)."""

from __future__ import annotations

from genvm_manager.manager.api.declaration.content import Json
from genvm_manager.manager.api.declaration.errors import UNAVAILABLE, bad_request, failed
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.sources import Sources
from genvm_manager.protocol.http_api import ModuleRestarted, ModuleStarted, ModuleStopped
from genvm_manager.protocol.http_requests import ModuleBody, ModuleStartBody
from genvm_manager.protocol.ipc import replies
from genvm_manager.protocol.ipc.commands import RestartModule, StartModule, StopModule
from genvm_manager.protocol.limits import MODULE_TIMEOUT

_START = Json(
    ModuleStartBody,
    {
        "module_type": "llm",
        "config": {
            "backends": {
                "mine": {
                    "provider": "ollama",
                    "host": "http://127.0.0.1:11434",
                    "models": {"llama3.1": {"supports_json": True}},
                }
            }
        },
        "allow_empty_backends": False,
        "user_error": False,
    },
)
_STOP = Json(ModuleBody, {"module_type": "web"})
_BAD_NAME = bad_request("module_type: expected llm, web, got 'browser'")
_CANNOT_START = failed(
    "The module does not start.", "cannot listen at localhost:8080: Address already in use"
)


def start(sources: Sources) -> ModuleStarted:
    """Start a module; return when it answers requests."""
    _start(sources, StartModule)
    return ModuleStarted()


def restart(sources: Sources) -> ModuleRestarted:
    """Replace a module; return when the new one answers requests."""
    _start(sources, RestartModule)
    return ModuleRestarted()


def stop(sources: Sources) -> ModuleStopped:
    """Stop a module; return when no process of it is left."""
    command = StopModule(_STOP.read().kind)
    limiter = sources.limits.enders
    stopped = sources.supervisor.ask(command, replies.ModuleStopped, MODULE_TIMEOUT, limiter)
    return ModuleStopped("module_stopped" if stopped.was_running else "module_not_running")


def _start(sources: Sources, kind: type[StartModule]) -> None:
    command = _START.read().command(kind)
    limiter = sources.limits.enders
    sources.supervisor.ask(command, replies.Done, MODULE_TIMEOUT, limiter, is_repeatable=False)


OPERATIONS = (
    Operation(
        "POST",
        "/module/start",
        "Modules",
        "Start a module",
        start,
        Json(ModuleStarted, {"result": "module_started"}),
        "Answers when the module serves. `config` is merged over its configuration file, key by "
        "key; an LLM configuration with `backends` replaces the file. `${ENV[NAME]}` in any text "
        "is replaced by the variable's value. When the keys of all backends of the file are "
        "missing, the module starts, and `reason` in `/status` names the variables to set before "
        "a restart. With `user_error` the module answers every request with a user error.",
        bodies=(_START,),
        errors=(
            _BAD_NAME,
            failed("The module runs already.", "module_already_running"),
            _CANNOT_START,
            UNAVAILABLE,
        ),
    ),
    Operation(
        "POST",
        "/module/stop",
        "Modules",
        "Stop a module",
        stop,
        Json(ModuleStopped, {"result": "module_stopped"}),
        "Waits up to `drain_timeout` for the runs that use the module; a second request ends the "
        "waiting. The result is `module_not_running` for a module that does not run.",
        bodies=(_STOP,),
        errors=(_BAD_NAME, UNAVAILABLE),
    ),
    Operation(
        "POST",
        "/module/restart",
        "Modules",
        "Restart a module with another configuration",
        restart,
        Json(ModuleRestarted, {"result": "module_restarted"}),
        "The present module serves until the new one does, and serves the runs that use it to "
        "their ends. When the new one does not start, the present one stays.",
        bodies=(_START,),
        errors=(_BAD_NAME, _CANNOT_START, UNAVAILABLE),
    ),
)
