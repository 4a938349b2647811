"""CPython with its library: what a Python contract is started in (spec 06, Python contracts)."""

from __future__ import annotations

from pathlib import Path

from wasmtime import Engine, Module

from .cpython import load_cpython
from .filesystem import File, FileTree
from .guest_files import read_guest_sources
from .guest_library import PYTHON_HOME, GuestLibrary
from .vm import run_tool

_UNPACK = Path(__file__).with_name("unpack_in_guest.py")


class PythonGuest:
    """The interpreter and the library, loaded when they are first wanted, cached below `folder`."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._module: Module | None = None
        self._library: GuestLibrary | None = None

    def module(self) -> Module:
        """The interpreter. Raises `GuestMissing`, `CacheUnusable`."""
        if self._module is None:
            self._module = load_cpython(self._engine, self._folder)
        return self._module

    def put_library(self, tree: FileTree) -> None:
        """Add all that the interpreter imports to `tree`. Raises as `module`, and `ToolFailed`."""
        if self._library is None:
            self._library = GuestLibrary(self._folder)
        self._library.put(tree, self._unpack)

    def _unpack(self, names: list[str]) -> bytes:
        tree = FileTree()
        tree.put("/unpack.py", File(_UNPACK.read_bytes()))
        for name, content in read_guest_sources().items():
            tree.put(f"{PYTHON_HOME}/{name}", File(content))
        paths = [f"{PYTHON_HOME}/{name}" for name in names]
        arguments = ["python", "-I", "-S", "-B", "-X", "utf8", "/unpack.py", *paths]
        return run_tool(self._engine, self.module(), arguments, tree)
