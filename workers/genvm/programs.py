"""From a contract's code to what is started: module, arguments, files (spec 06, contract kinds)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from protocol.contract_code import ContractCode, ContractKind, InvalidContract

from .bridge import DEVICE
from .filesystem import Device, File, FileTree, PathError

PYTHON_RUNNERS = ("py-genlayer", "py-genlayer-multi")
"""The runners that this executor has, whatever hash a contract names: the Python guest."""

PYTHON_ARGUMENTS = ("python", "-s", "-S", "-B", "-u", "-X", "utf8", "/genvm/boot.py")
PYTHON_VARIABLES = {"PYTHONHASHSEED": "0", "PYTHONHOME": "/genvm"}

_MAX_ACTIONS = 1000


class Program(NamedTuple):
    """What is started. `module`: raw WASM; None is CPython, whose library `tree` still lacks."""

    module: bytes | None
    arguments: list[str]
    variables: dict[str, str]
    tree: FileTree


def program_of(code: ContractCode, *, is_det: bool) -> Program:
    """The program of a contract, in det mode or in a nondet block. Raises `InvalidContract`."""
    if code.kind is ContractKind.WASM:
        return Program(code.files["file"], ["contract.wasm"], {}, FileTree())
    setup = _Setup(code, "det" if is_det else "nondet")
    if not setup.perform(code.runner) or setup.program is None:
        raise InvalidContract("the runner description never comes to StartWasm")
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
        self.program: Program | None = None

    def perform(self, action: Any) -> bool:
        """Perform one action; True once a program is ready."""
        self._actions += 1
        if self._actions > _MAX_ACTIONS:
            raise InvalidContract("the runner description has too many actions")
        if action == {}:
            return False
        if not isinstance(action, dict) or len(action) != 1:
            raise InvalidContract("an action of the runner description is no map with one key")
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
            _put(self._tree, target, self._file(source))
        return False

    def add_variable(self, value: Any) -> bool:
        name, text = _fields(value, "AddEnv", "name", "val")
        for known, known_text in self._variables.items():
            text = text.replace("${" + known + "}", known_text)
        if not name or "=" in name or "\0" in name + text or len(text) > 1 << 16:
            raise InvalidContract("AddEnv: no variable can have this name or value")
        self._variables[name] = text
        return False

    def set_arguments(self, value: Any) -> bool:
        if not isinstance(value, list) or not all(
            isinstance(text, str) and "\0" not in text for text in value
        ):
            raise InvalidContract("SetArgs: expected a list of strings")
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
        for path, content in sorted(self._code.files.items()):
            if path.startswith(source):
                _put(tree, target.rstrip("/") + "/" + path[len(source) :], content)


def _fields(value: Any, action: str, *names: str) -> list[Any]:
    """The named fields of an action, all of them strings but `action`."""
    if isinstance(value, dict) and all(name in value for name in names):
        found = [value[name] for name in names]
        if all(isinstance(value[name], str) for name in names if name != "action"):
            return found
    raise InvalidContract(f"{action}: expected {' and '.join(names)}")


def _put(tree: FileTree, path: str, content: bytes) -> None:
    try:
        tree.put(path, File(content))
    except PathError as error:
        raise InvalidContract(f"nothing can be mapped to {path!r}: {error.kind}") from None


_ACTIONS: dict[str, Callable[[_Setup, Any], bool]] = {
    "Seq": _Setup.sequence,
    "When": _Setup.when,
    "Depends": _Setup.depends,
    "MapFile": _Setup.map_file,
    "AddEnv": _Setup.add_variable,
    "SetArgs": _Setup.set_arguments,
    "StartWasm": _Setup.start,
}
