"""The command lines of the processes that make up a service, as they follow `python -m`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .service_settings import ServiceSettings

SUPERVISOR = "genvm_manager.supervisor"
HTTP = "genvm_manager.manager.server"


def supervisor_command(settings: ServiceSettings, cache: Path, handover: int) -> list[str]:
    """Return the supervisor's. Compiled contracts are kept in `cache`; the descriptor `handover` is
    a file in memory in which one supervisor leaves the next what clients have changed.
    """
    options: dict[str, Path | int | None] = {
        "--root": settings.root,
        "--manifest-path": settings.manifest_path,
        "--cache-dir": cache,
        "--handover-fd": handover,
    }
    return [*_common(SUPERVISOR, settings), *_given(options)]


def http_command(
    settings: ServiceSettings, binds: Sequence[str], readiness: int, listeners: int
) -> list[str]:
    """Return that of gunicorn's master, which serves at `binds`; `readiness` and `listeners` are
    the descriptors of a `ServeLink`.
    """
    options: dict[str, Path | int | None] = {
        "--token-file": settings.token_file,
        "--readiness-fd": readiness,
        "--listeners-fd": listeners,
    }
    bound = [f"--bind={bind}" for bind in binds]
    return [*_common(HTTP, settings), *_given(options), *bound]


def _common(module: str, settings: ServiceSettings) -> list[str]:
    options = {"--state-dir": settings.state_folder, "--config": settings.config_path}
    return [module, *_given(options)]


def _given(options: dict[str, Path | None] | dict[str, Path | int | None]) -> list[str]:
    arguments: list[str] = []
    for name, value in options.items():
        if value is not None:
            arguments += [name, str(value)]
    return arguments
