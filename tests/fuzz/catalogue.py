"""What contracts may import, with its signatures, as the executor itself has it."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from .wasm_encoder import FUNCTION, I32, I64, Parts, text, unsigned


class Callable(NamedTuple):
    """A function to import. `params`: `i` for each i32, `I` for each i64."""

    module: str
    name: str
    params: str
    returns: bool

    def declare(self, parts: Parts) -> None:
        """Import it."""
        params = [I64 if letter == "I" else I32 for letter in self.params]
        kind = parts.type(params, [I32] if self.returns else [])
        named = text(self.module) + text(self.name)
        parts.imports.append(named + bytes([FUNCTION]) + unsigned(kind))


@cache
def catalogue() -> tuple[Callable, ...]:
    """Return all of them, in a fixed order."""
    from genvm_manager.workers.genvm.calls import sdk_imports  # noqa: PLC0415 (slow to import)
    from genvm_manager.workers.genvm.engine.memory import Memory  # noqa: PLC0415
    from genvm_manager.workers.genvm.wasi import wasi  # noqa: PLC0415 (slow to import)
    from genvm_manager.workers.genvm.wasi.files import WasiFiles  # noqa: PLC0415
    from genvm_manager.workers.genvm.wasi.filesystem import FileTree  # noqa: PLC0415

    memory = Memory()
    environment = wasi.Environment([], {}, wasi.machine_clock, wasi.machine_random)
    files = WasiFiles(memory, FileTree(), [], lambda _: None)  # type: ignore[arg-type,return-value]
    sdk = sdk_imports.SdkImports(memory, None, files)  # type: ignore[arg-type]
    offered = {
        wasi.MODULE: wasi.Wasi(memory, environment).imports() | files.imports(),
        sdk_imports.MODULE: sdk.imports(),
    }
    return tuple(
        Callable(module, name, each.params, each.returns)
        for module, functions in sorted(offered.items())
        for name, each in sorted(functions.items())
    )
