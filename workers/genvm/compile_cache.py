"""Compiled modules, kept so that a module is compiled once on a machine (spec 06, the machine).

wasmtime itself refuses what another version of it or another CPU compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import wasmtime
from wasmtime import Engine, Module, WasmtimeError

from .engine import CONFIG_ID
from .private_cache import PrivateCache


class CompileCache:
    """The compiled modules in `folder`. Raises `CacheUnusable`."""

    def __init__(self, engine: Engine, folder: Path, max_entries: int) -> None:
        self._engine = engine
        self._cache = PrivateCache(folder, max_entries)

    def load(self, digest: bytes, read: Callable[[], bytes]) -> Module:
        """The module whose WASM `read` gives and whose sha256 is `digest`, compiled at most once.

        Raises `WasmtimeError` for WASM that does not compile.
        """
        return self._cache.get_or_make(
            _entry_name(digest),
            self._deserialized,
            lambda: bytes(Module(self._engine, read()).serialize()),
        )

    def holds(self, digest: bytes) -> bool:
        """Whether `load` would find the module compiled."""
        return self._cache.get(_entry_name(digest), self._deserialized) is not None

    def _deserialized(self, path: Path) -> Module | None:
        try:
            return Module.deserialize_file(self._engine, str(path))
        except WasmtimeError:
            return None


def _entry_name(digest: bytes) -> str:
    """With wasmtime's version, for which `importlib.metadata` would take 60 ms to ask."""
    package = Path(wasmtime.__file__).parent
    installed = next(package.parent.glob("wasmtime-*.dist-info"), package)
    return f"{digest.hex()}-{installed.name.removesuffix('.dist-info')}-{CONFIG_ID}"
