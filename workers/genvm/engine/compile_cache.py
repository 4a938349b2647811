"""Compiled modules, kept so that a module is compiled once on a machine.

Source: docs/spec/06-contracts.md#the-machine.

wasmtime itself refuses what another version of it or another CPU compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import wasmtime
from wasmtime import Engine, Module, WasmtimeError

from .compiler import CompilerBounds, Rewrite, compile_apart
from .endings import ExecutorFault
from .engine import CONFIG_ID
from .private_cache import Bounds, PrivateCache

MAX_CACHED_CONTRACTS = 1_000
"""Compiled WASM contracts that are kept, if their bytes allow it."""


def contracts_cache(folder: Path, size: int, report: Callable[[str], None]) -> PrivateCache:
    """Return the cache of compiled contracts below `folder`, of at most `size` bytes."""
    return PrivateCache(folder / "contracts", Bounds(MAX_CACHED_CONTRACTS, size), report)


LIMITS_ID = "3"
"""Part of the names of contracts: raise it when a limit of `wasm_limits.py` changes, or what
`instrumentation.py` writes."""


class Rules(NamedTuple):
    """How a module becomes what is compiled. `name` is part of its entry's name in the cache.

    `allowed` gets the module as it is, `rewritten` what that returns, once it was validated. Both
    may raise `InvalidContract`.
    """

    name: str
    allowed: Rewrite
    rewritten: Rewrite


def _as_it_is(wasm: bytes) -> bytes:
    return wasm


def contract_rules(*, floats_trap: bool) -> Rules:
    """Return the rules for modules of contracts, which see floats or trap at them."""

    def allowed(wasm: bytes) -> bytes:
        from .wasm_limits import without_custom_sections  # noqa: PLC0415 (paid for when compiling)

        return without_custom_sections(wasm)

    def rewritten(wasm: bytes) -> bytes:
        from .instrumentation import instrumented  # noqa: PLC0415 (paid for when compiling)

        return instrumented(wasm, floats_trap=floats_trap)

    return Rules(f"-{LIMITS_ID}-{'det' if floats_trap else 'nondet'}", allowed, rewritten)


TRUSTED = Rules("", _as_it_is, _as_it_is)
"""The rules for a module of our own choice."""


class CompileCache:
    """The compiled modules in `cache`, made by `rules`."""

    def __init__(
        self,
        engine: Engine,
        cache: PrivateCache,
        bounds: CompilerBounds,
        rules: Rules = TRUSTED,
    ) -> None:
        self._engine = engine
        self._cache = cache
        self._bounds = bounds
        self._rules = rules

    def load(self, digest: bytes, read: Callable[[], bytes]) -> Module:
        """Return the module whose WASM `read` gives and whose sha256 is `digest`.

        It is compiled at most once. Raises `InvalidContract` and `ExecutorFault`.
        """
        module = self._cache.get_or_make(
            self._entry_name(digest),
            self._deserialized,
            lambda: compile_apart(self._rules.allowed(read()), self._bounds, self._rules.rewritten),
        )
        if module is None:
            raise ExecutorFault(
                "the module was compiled but cannot be loaded on this host; run the call again"
            )
        return module

    def holds(self, digest: bytes) -> bool:
        """Return whether `load` would find the module compiled."""
        return self._cache.get(self._entry_name(digest), self._deserialized) is not None

    def _deserialized(self, path: Path) -> Module | None:
        try:
            return Module.deserialize_file(self._engine, str(path))
        except WasmtimeError:
            return None

    def _entry_name(self, digest: bytes) -> str:
        """Return the entry's name, with the version of wasmtime from its folder.

        `importlib.metadata` would take 60 ms to give it.
        """
        package = Path(wasmtime.__file__).parent
        installed = next(package.parent.glob("wasmtime-*.dist-info"), package)
        version = installed.name.removesuffix(".dist-info")
        return f"{digest.hex()}-{version}-{CONFIG_ID}{self._rules.name}"
