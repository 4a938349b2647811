"""The variables of executors: the same for runs and for the checks of executors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from genvm_manager.base.files.cache_folder import (
    CACHE_BYTES_VARIABLE,
    CACHE_DIR_VARIABLE,
    CacheFolder,
    choose_cache_folder,
)

from .config import Config

_INHERITED = ("PATH", "HOME", "LANG")


class ExecutorEnvironment(NamedTuple):
    """The variables of every executor, and the cache folder that they name."""

    variables: dict[str, str]
    cache: CacheFolder


def executor_environment(
    environment: Mapping[str, str],
    config: Config,
    state_folder: Path,
    cache_folder: Path | None = None,
) -> ExecutorEnvironment:
    """Return a few of `environment`, what the settings add, and where contracts are cached.

    `cache_folder`: the one that `serve` has chosen already, if it is our parent.
    """
    given = {**environment, **config.executor_env}
    cache = CacheFolder(cache_folder) if cache_folder else choose_cache_folder(given, state_folder)
    variables = {
        **{name: environment[name] for name in _INHERITED if name in environment},
        CACHE_BYTES_VARIABLE: str(config.compile_cache_bytes),
        **config.executor_env,
        CACHE_DIR_VARIABLE: str(cache.path),
    }
    return ExecutorEnvironment(variables, cache)
