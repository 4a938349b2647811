"""CPython with its library: what a Python contract is started in.

Source: docs/spec/06-contracts.md#python-contracts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from wasmtime import Engine, Module

from genvm_manager.workers.genvm.wasi.filesystem import File, FileTree

from .cpython import cpython_is_compiled, load_cpython
from .guest_files import GUEST, VOCABULARY, read_guest_sources
from .guest_library import PYTHON_HOME, GuestLibrary
from .tool import run_tool

_UNPACK = Path(__file__).with_name("unpack_in_guest.py")


class PythonGuest:
    """The interpreter and the library, loaded when they are first wanted, cached below `folder`.

    `report` is told why the cache cannot be used.
    """

    def __init__(self, engine: Engine, folder: Path, report: Callable[[str], None]) -> None:
        self._engine = engine
        self._folder = folder
        self._report = report
        self._module: Module | None = None
        self._found: GuestLibrary | None = None

    def module(self) -> Module:
        """Return the interpreter. Raises `ExecutorFault`."""
        if self._module is None:
            self._module = load_cpython(self._engine, self._folder, self._report)
        return self._module

    def is_compiled(self) -> bool:
        """Return whether `module` is a matter of milliseconds."""
        return cpython_is_compiled(self._engine, self._folder, self._report)

    def has_library(self) -> bool:
        """Return whether `put_library` is a matter of milliseconds."""
        return self._library().is_made()

    def put_library(self, tree: FileTree, libraries: Sequence[str] = ()) -> None:
        """Add all that the interpreter imports to `tree`. Raises `ExecutorFault`.

        `libraries`: those that the contract has asked for, by the names of their runners.
        """
        self._library().put(tree, self._unpack)
        if libraries:
            tree.put(f"{PYTHON_HOME}/{VOCABULARY}", File((GUEST / VOCABULARY).read_bytes()))

    def _library(self) -> GuestLibrary:
        if self._found is None:
            self._found = GuestLibrary(self._folder, self._report)
        return self._found

    def _unpack(self, modules: list[str], others: list[str]) -> bytes:
        tree = FileTree()
        tree.put("/unpack.py", File(_UNPACK.read_bytes()))
        for name, content in read_guest_sources().items():
            tree.put(f"{PYTHON_HOME}/{name}", File(content))
        paths = [f"{PYTHON_HOME}/{name}" for name in (*modules, *others)]
        options = ["-I", "-S", "-B", "-X", "utf8"]
        arguments = ["python", *options, "/unpack.py", str(len(modules)), *paths]
        return run_tool(self._engine, self.module(), arguments, tree)
