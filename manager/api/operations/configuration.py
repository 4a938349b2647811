"""`/log/level`, `/manifest/reload` and `/env`: what can change while the service runs.

Source: docs/spec/01-http-api.md#configuration.
"""

from __future__ import annotations

from genvm_manager.manager.api.declaration.content import Json
from genvm_manager.manager.api.declaration.errors import UNAVAILABLE, bad_request, failed
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.sources import Sources
from genvm_manager.protocol.http_api import EnvVarSet, LogLevelSet, ManifestReloaded
from genvm_manager.protocol.http_requests import EnvBody, LogLevelBody
from genvm_manager.protocol.ipc.commands import ReloadManifest, SetEnv, SetLogLevel
from genvm_manager.protocol.ipc.replies import Done, LogLevel

_LEVEL = Json(LogLevelBody, {"level": "debug"})
_VARIABLE = Json(EnvBody, {"key": "OPENAIKEY", "value": "a secret"})


def set_log_level(sources: Sources) -> LogLevelSet:
    """Change the log level of every process of the service."""
    command = SetLogLevel(_LEVEL.read().level)
    return LogLevelSet(sources.supervisor.ask(command, LogLevel).level)


def reload_manifest(sources: Sources) -> ManifestReloaded:
    """Put the manifest on the disk in force."""
    sources.supervisor.ask(ReloadManifest(), Done)
    return ManifestReloaded()


def set_env(sources: Sources) -> EnvVarSet:
    """Set what `${ENV[key]}` means in the configurations of modules."""
    body = _VARIABLE.read()
    sources.supervisor.ask(SetEnv(body.key, body.value), Done)
    return EnvVarSet(body.key)


OPERATIONS = (
    Operation(
        "POST",
        "/log/level",
        "Configuration",
        "Set the log level",
        set_log_level,
        Json(LogLevelSet, {"level": "debug", "result": "log_level_set"}),
        "In every process of the service, until the supervisor restarts.",
        bodies=(_LEVEL,),
        errors=(
            bad_request("level: expected debug, error, info, trace, warn, got 'loud'"),
            UNAVAILABLE,
        ),
    ),
    Operation(
        "POST",
        "/manifest/reload",
        "Configuration",
        "Read the manifest again",
        reload_manifest,
        Json(ManifestReloaded, {"result": "manifest_reloaded"}),
        "Runs that have started keep their version.",
        errors=(
            failed(
                "The manifest is invalid; the one before it stays in force.",
                "manifest: executor_versions: 'latest' is no v<x>.<y>.<z>[-suffix]",
            ),
            UNAVAILABLE,
        ),
    ),
    Operation(
        "POST",
        "/env",
        "Configuration",
        "Set a variable for modules that start later",
        set_env,
        Json(EnvVarSet, {"key": "OPENAIKEY", "result": "env_var_set"}),
        "Configurations of modules refer to it as `${ENV[NAME]}`. Runs never see it.",
        bodies=(_VARIABLE,),
        errors=(
            bad_request("key: PYTHONPATH changes how processes load code and may not be set"),
            UNAVAILABLE,
        ),
    ),
)
