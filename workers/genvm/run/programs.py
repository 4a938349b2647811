"""From a contract's code to what is started: module, arguments, files.

Source: docs/spec/06-contracts.md#contract-kinds-and-headers.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, NamedTuple

from genvm_manager.protocol.contract.code import ContractCode, ContractKind
from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.workers.genvm.python.bridge import DEVICE
from genvm_manager.workers.genvm.wasi.errors import Errno, WasiError
from genvm_manager.workers.genvm.wasi.filesystem import Device, File, FileTree

PYTHON_RUNNERS = ("py-genlayer", "py-genlayer-multi")
"""The runners that this executor has, whatever hash a contract names: the Python guest."""

PYTHON_ARGUMENTS = ("python", "-s", "-S", "-B", "-u", "-X", "utf8", "/genvm/boot.py")
PYTHON_VARIABLES = {"PYTHONHASHSEED": "0", "PYTHONHOME": "/genvm"}

MAX_ACTIONS = 1000
MAX_ARGUMENTS = 1000
MAX_ARGUMENT_BYTES = 1 << 20
MAX_VARIABLE_BYTES = 1 << 20
"""Bytes of all values together, those included that later ones replace."""

MAX_MAPPED = 10_000
"""Files that actions map, one that is mapped twice counted twice."""

MAX_NODES = 20_000
"""Files and folders that a guest sees, but for those of the Python library."""

MAX_PATH = 4096
"""Bytes of the longest path at which a guest can open a file."""

MAX_VARIABLE = 64 << 10
"""Bytes of one value, before and after others are filled in."""

_UNMAPPED = {
    Errno.NOENT: "the path names no file",
    Errno.NOTDIR: "a file or a folder is in its way",
    Errno.NOTCAPABLE: "the path leads out of the root",
}

_REFERENCE = re.compile(r"\$\{([^}$]*)\}")


class Program(NamedTuple):
    """What is started. `module`: raw WASM; None is CPython, whose library `tree` still lacks."""

    module: bytes | None
    arguments: list[str]
    variables: dict[str, str]
    tree: FileTree


def program_of(code: ContractCode, *, is_det: bool) -> Program:
    """Return what is started for a contract, in det mode or in a nondet block.

    Raises `InvalidContract`.
    """
    if code.kind is ContractKind.WASM:
        return Program(code.files["file"], ["contract.wasm"], {}, FileTree())
    setup = _Setup(code, "det" if is_det else "nondet")
    if not setup.perform(code.runner) or setup.program is None:
        raise InvalidContract(
            "no action of the runner description starts a program: add StartWasm or Depends"
        )
    return setup.program


class _Setup:
    """Performs the actions of a runner description until one starts a module."""

    def __init__(self, code: ContractCode, mode: str) -> None:
        self._code = code
        self._mode = mode
        self._tree = FileTree()
        self._arguments = ["contract"]
        self._variables: dict[str, str] = {}
        self._actions = 0
        self._variable_bytes = 0
        self._mapped = 0
        self._paths = sorted(code.files)
        self.program: Program | None = None

    def perform(self, action: Any) -> bool:
        """Perform one action; True once a program is ready."""
        self._actions += 1
        if self._actions > MAX_ACTIONS:
            raise InvalidContract(f"the runner description has more than {MAX_ACTIONS} actions")
        if action == {}:
            return False
        if not isinstance(action, dict) or len(action) != 1:
            raise InvalidContract("an action of the runner description is not a map with one key")
        ((name, value),) = action.items()
        if name not in _ACTIONS:
            raise InvalidContract(f"the action {name!r} is unknown to this executor")
        return _ACTIONS[name](self, value)

    def sequence(self, actions: Any) -> bool:
        if not isinstance(actions, list):
            raise InvalidContract("Seq: expected a list")
        return any(self.perform(action) for action in actions)

    def when(self, value: Any) -> bool:
        condition, action = _fields(value, "When", "cond", "action")
        return condition == self._mode and self.perform(action)

    def depends(self, runner: Any) -> bool:
        if not isinstance(runner, str) or runner.partition(":")[0] not in PYTHON_RUNNERS:
            raise InvalidContract(f"the runner {runner!r} is unknown to this executor")
        tree = FileTree()
        tree.put(DEVICE, Device())
        if self._code.kind is ContractKind.TEXT:
            tree.put("/contract.py", File(self._code.files["file"]))
        else:
            self._map_folder(tree, "contract/", "/contract/")
        self.program = Program(None, list(PYTHON_ARGUMENTS), PYTHON_VARIABLES, tree)
        return True

    def map_file(self, value: Any) -> bool:
        source, target = _fields(value, "MapFile", "file", "to")
        if source.endswith("/"):
            self._map_folder(self._tree, source, target)
        else:
            self._put(self._tree, target, self._file(source))
        return False

    def add_variable(self, value: Any) -> bool:
        name, text = _fields(value, "AddEnv", "name", "val")
        size = self._expanded_size(text)
        self._variable_bytes += size
        if size > MAX_VARIABLE:
            raise InvalidContract(f"AddEnv: {name!r} has more than {MAX_VARIABLE} bytes")
        if self._variable_bytes > MAX_VARIABLE_BYTES:
            raise InvalidContract(f"AddEnv: all values have more than {MAX_VARIABLE_BYTES} bytes")
        if not name or "=" in name or "\0" in name + text:
            raise InvalidContract("AddEnv: no variable can have this name or value")
        self._variables[name] = _REFERENCE.sub(self._filled_in, text)
        return False

    def _expanded_size(self, text: str) -> int:
        """Return how many bytes `text` will have once it is filled in.

        Counting stops as soon as they are too many.
        """
        size = len(text.encode())
        if size > MAX_VARIABLE:
            return size
        for reference in _REFERENCE.finditer(text):
            size += len(self._filled_in(reference).encode()) - len(reference[0].encode())
            if size > MAX_VARIABLE:
                break
        return size

    def _filled_in(self, reference: re.Match[str]) -> str:
        return self._variables.get(reference[1], reference[0])

    def set_arguments(self, value: Any) -> bool:
        if not isinstance(value, list) or not all(
            isinstance(text, str) and "\0" not in text for text in value
        ):
            raise InvalidContract("SetArgs: expected a list of strings")
        if len(value) > MAX_ARGUMENTS or sum(len(t.encode()) for t in value) > MAX_ARGUMENT_BYTES:
            raise InvalidContract(
                f"SetArgs: expected at most {MAX_ARGUMENTS} strings of {MAX_ARGUMENT_BYTES} bytes "
                "together"
            )
        self._arguments = value
        return False

    def start(self, path: Any) -> bool:
        module = self._file(path)
        self.program = Program(module, self._arguments, self._variables, self._tree)
        return True

    def _file(self, path: Any) -> bytes:
        content = self._code.files.get(path) if isinstance(path, str) else None
        if content is None:
            raise InvalidContract(f"the contract has no file {path!r}")
        return content

    def _map_folder(self, tree: FileTree, source: str, target: str) -> None:
        paths, at = self._paths, bisect_left(self._paths, source)
        while at < len(paths) and paths[at].startswith(source):
            name = paths[at][len(source) :]
            self._put(tree, target.rstrip("/") + "/" + name, self._code.files[paths[at]])
            at += 1

    def _put(self, tree: FileTree, path: str, content: bytes) -> None:
        self._mapped += 1
        if self._mapped > MAX_MAPPED:
            raise InvalidContract(f"MapFile: more than {MAX_MAPPED} files are mapped")
        if len(path.encode()) > MAX_PATH or "\0" in path:
            raise InvalidContract(f"MapFile: a path has at most {MAX_PATH} bytes, and no NUL")
        try:
            tree.put(path, File(content))
        except WasiError as error:
            why = _UNMAPPED[error.errno]
            raise InvalidContract(f"nothing can be mapped to {path!r}: {why}") from None
        if tree.nodes > MAX_NODES:
            raise InvalidContract(f"MapFile: more than {MAX_NODES} files and folders")


def _fields(value: Any, action: str, *names: str) -> list[Any]:
    """Return the named fields of an action, all of them strings but `action`."""
    if isinstance(value, dict) and all(name in value for name in names):
        found = [value[name] for name in names]
        if all(isinstance(value[name], str) for name in names if name != "action"):
            return found
    raise InvalidContract(f"{action}: expected {' and '.join(names)}")


_ACTIONS: dict[str, Callable[[_Setup, Any], bool]] = {
    "Seq": _Setup.sequence,
    "When": _Setup.when,
    "Depends": _Setup.depends,
    "MapFile": _Setup.map_file,
    "AddEnv": _Setup.add_variable,
    "SetArgs": _Setup.set_arguments,
    "StartWasm": _Setup.start,
}
