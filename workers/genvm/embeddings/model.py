"""The model: word pieces in, a vector out, computed in WebAssembly."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from wasmtime import Engine, Instance, Module, Store, Trap

from genvm_manager.workers.genvm.engine.compile_cache import CompileCache
from genvm_manager.workers.genvm.engine.compiler import CompilerBounds
from genvm_manager.workers.genvm.engine.endings import TIMEOUT, CallEnded
from genvm_manager.workers.genvm.engine.private_cache import Bounds, PrivateCache

from .weights import Weights

_KERNEL = Path(__file__).with_name("kernel.wasm")
_MEMORY = 16 << 20
_ROW = 384 * 4
_LAYERS = 6

# Where the weights are in the file, from the end of its header on.
_EMBEDDING = (4096, 795136)
_WORDS = 796672
_FIRST_LAYER = 47678464
_LAYER = 7097856
_POOLER = (_FIRST_LAYER + _LAYERS * _LAYER, _FIRST_LAYER + _LAYERS * _LAYER + 385 * _ROW)


class EmbeddingModel:
    """The weights and the kernel, loaded together; `folder` keeps what has to be made once.

    Raises `ExecutorFault` when this host lacks the weights.
    """

    def __init__(self, engine: Engine, folder: Path, report: Callable[[str], None]) -> None:
        self._weights: mmap.mmap = Weights(folder, report).load()
        header = 8 + int.from_bytes(self._weights[:8], "little")
        self._from = ctypes.addressof(ctypes.c_char.from_buffer(self._weights)) + header
        self._store = Store(engine)
        self._store.set_epoch_deadline(1)
        self._store.set_limits(memory_size=_MEMORY, instances=1, memories=1)
        instance = Instance(self._store, load_kernel(engine, folder, report), [])
        self._exports = cast("Mapping[str, Any]", instance.exports(self._store))
        self._vectors = self._exports["vectors"](self._store)
        self._taken = self._exports["weights"](self._store)
        # The kernel's memory never grows, so that it stays where it is.
        base = self._exports["memory"].data_ptr(self._store)
        self._to = ctypes.addressof(base.contents)

    def embed(self, tokens: Sequence[int]) -> bytes:
        """Return the vector of a text: 384 numbers of single precision, little-endian.

        `tokens`: the numbers of 1 to 512 word pieces. Raises `CallEnded` when the contract's time
        is over.
        """
        for at, token in enumerate(tokens):
            self._copy(_WORDS + token * _ROW, _ROW, self._vectors + at * _ROW)
        self._step("embed", _EMBEDDING, len(tokens))
        for start in range(_FIRST_LAYER, _POOLER[0], _LAYER):
            self._step("layer", (start, start + _LAYER), len(tokens))
        self._step("pool", _POOLER)
        return bytes(self._exports["memory"].read(self._store, self._vectors, self._vectors + _ROW))

    def _step(self, name: str, weights: tuple[int, int], *arguments: int) -> None:
        start, end = weights
        self._copy(start, end - start, self._taken)
        try:
            self._exports[name](self._store, *arguments)
        except Trap:  # The kernel traps for no input: its epoch is over.
            raise CallEnded(TIMEOUT) from None

    def _copy(self, start: int, size: int, at: int) -> None:
        """Copy weights into the kernel's memory; the numbers here are all within both."""
        ctypes.memmove(self._to + at, self._from + start, size)


def load_kernel(engine: Engine, folder: Path, report: Callable[[str], None]) -> Module:
    """Return the compiled kernel, cached below `folder`. Raises `ExecutorFault`."""
    wasm = _KERNEL.read_bytes()
    cache = PrivateCache(folder / "kernel", Bounds(entries=2), report)
    compiled = CompileCache(engine, cache, CompilerBounds())
    return compiled.load(hashlib.sha256(wasm).digest(), lambda: wasm)
