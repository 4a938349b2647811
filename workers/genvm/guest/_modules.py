"""Finds the modules of the SDK in one file, where each alone costs some thirty calls to the host.

The file is made with the rest of the library (`workers/genvm/python/guest_library.py`): by name,
the module's source file, whether it is a package, and its code, marshalled.
"""

from __future__ import annotations

import sys
from _frozen_importlib import ModuleSpec
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

PATH = "/genvm/modules"


class SdkFinder:
    """Finds and loads the modules that the file holds."""

    def __init__(self) -> None:
        self._modules: dict[str, tuple[str, bool, bytes]]
        with open(PATH, "rb") as file:
            self._modules = loads(file.read())  # noqa: S302 - it is our own

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> object:
        """Return where the module is, or None for another's."""
        found = self._modules.get(name)
        if found is None:
            return None
        file, is_package, _ = found
        spec = ModuleSpec(name, self, origin=file, is_package=is_package)
        if is_package:
            spec.submodule_search_locations = [file.rpartition("/")[0]]
        return spec

    def create_module(self, _spec: object) -> None:
        """Leave it to the interpreter to make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        module.__file__, _, code = self._modules[module.__name__]
        exec(loads(code), module.__dict__)  # noqa: S102, S302


sys.meta_path.insert(0, SdkFinder())
