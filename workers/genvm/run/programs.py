"""From a contract's code to what is started: module, arguments, files.

Source: docs/spec/06-contracts.md#contract-kinds-and-headers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

from genvm_manager.protocol.contract.code import (
    NO_VERSION,
    ContractCode,
    ContractKind,
    major_of,
)
from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.workers.genvm.python.bridge import DEVICE
from genvm_manager.workers.genvm.python.guest_library import PYTHON_HOME
from genvm_manager.workers.genvm.wasi.errors import Errno, WasiError
from genvm_manager.workers.genvm.wasi.filesystem import Device, File, FileTree

from .runners import (
    CONTRACT,
    PYTHON_LIBRARIES,
    PYTHON_RUNNERS,
    Runner,
    RunnerFolder,
    contract_runner,
)

PYTHON_ARGUMENTS = ("python", "-s", "-S", "-B", "-u", "-X", "utf8", "/genvm/boot.py")
PYTHON_VARIABLES = {"PYTHONHASHSEED": "0", "PYTHONHOME": PYTHON_HOME}

PUBLIC_ABI = 0
"""The major of the public ABI that contracts find here. A version without a number means that."""

MAX_ACTIONS = 1000
"""Actions of a description and of those that it depends on."""

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

MAX_RUNNERS = 16
"""How deep runners may depend on each other."""

MAX_LINKED = 16
"""Modules that are linked to the one that is started."""

_UNMAPPED = {
    Errno.NOENT: "the path names no file",
    Errno.NOTDIR: "a file or a folder is in its way",
    Errno.NOTCAPABLE: "the path leads out of the root",
}

_REFERENCE = re.compile(r"\$\{([^}$]*)\}")


class Program(NamedTuple):
    """What is started. `module`: raw WASM; None is CPython, whose library `tree` still lacks.

    `linked`: modules whose exports it may import, by the names of their files, in this order.
    `libraries`: the names of `PYTHON_LIBRARIES` that CPython gets besides its own.
    """

    module: bytes | None
    arguments: list[str]
    variables: dict[str, str]
    tree: FileTree
    linked: dict[str, bytes]
    libraries: list[str]


def program_of(code: ContractCode, runners: RunnerFolder, *, is_det: bool) -> Program:
    """Return what is started for a contract, in det mode or in a nondet block.

    Raises `InvalidContract`, and `ExecutorFault` for a runner that this host cannot read.
    """
    major = major_of(code.version or NO_VERSION)
    if major is not None and major > PUBLIC_ABI:
        reason = f"it is written for {code.version}, and the executor has major {PUBLIC_ABI}"
        raise InvalidContract(reason, general="version_too_big")
    if code.kind is ContractKind.WASM:
        return Program(code.files["file"], ["contract.wasm"], {}, FileTree(), {}, [])
    setup = _Setup(contract_runner(code), runners, "det" if is_det else "nondet")
    if not setup.perform(code.runner) or setup.program is None:
        _refuse("no action of the runner description starts a program: add StartWasm or Depends")
    return setup.program


class _Setup:
    """Performs the actions of a runner description until one starts a module.

    All effects stay, those of the runners that it depends on included.
    """

    def __init__(self, contract: Runner, runners: RunnerFolder, mode: str) -> None:
        self._contract = contract
        self._source = contract
        self._runners = runners
        self._mode = mode
        self._tree = FileTree()
        self._arguments = ["contract"]
        self._variables: dict[str, str] = {}
        self._linked: dict[str, bytes] = {}
        self._libraries: list[str] = []
        self._open: list[str] = []
        self._done: set[str] = set()
        self._actions = 0
        self._variable_bytes = 0
        self._mapped = 0
        self.program: Program | None = None

    def perform(self, action: Any) -> bool:
        """Perform one action; True once a program is ready."""
        self._actions += 1
        if self._actions > MAX_ACTIONS:
            _refuse(f"the runner description has more than {MAX_ACTIONS} actions")
        if action == {}:
            return False
        if not isinstance(action, dict) or len(action) != 1:
            _refuse("an action of the runner description is not a map with one key")
        ((name, value),) = action.items()
        if name not in _ACTIONS:
            _refuse(f"the action {name!r} is unknown to this executor")
        return _ACTIONS[name](self, value)

    def sequence(self, actions: Any) -> bool:
        if not isinstance(actions, list):
            _refuse("Seq: expected a list")
        return any(self.perform(action) for action in actions)

    def when(self, value: Any) -> bool:
        condition, action = _fields(value, "When", "cond", "action")
        if condition not in ("det", "nondet"):
            _refuse(f"When: cond is det or nondet, not {condition!r}")
        return condition == self._mode and self.perform(action)

    def depends(self, runner: Any) -> bool:
        """Perform the description of `runner`, unless that was done before."""
        if not isinstance(runner, str):
            _refuse("Depends: expected a runner's name and hash")
        name = runner.partition(":")[0]
        if name in PYTHON_RUNNERS:
            return self._start_python(PYTHON_RUNNERS[name])
        if runner in self._open:
            _refuse(f"runners depend on each other in a circle: {' > '.join(self._open)}")
        if runner in self._done:
            return False
        self._done.add(runner)
        if name in PYTHON_LIBRARIES:
            self._libraries.append(name)
            return False
        if len(self._open) >= MAX_RUNNERS:
            _refuse(f"more than {MAX_RUNNERS} runners depend on each other")
        found = self._runner(runner)
        self._open.append(runner)
        with self._files_of(found):
            is_started = self.perform(found.description)
        self._open.pop()
        return is_started

    def with_runner(self, value: Any) -> bool:
        """Perform an action on the files of another runner."""
        runner, action = _fields(value, "With", "runner", "action")
        with self._files_of(self._contract if runner == CONTRACT else self._runner(runner)):
            return self.perform(action)

    def _runner(self, runner: str) -> Runner:
        found = self._runners.find(runner)
        if found is None:
            raise InvalidContract(f"the runner {runner!r} is unknown to this executor")
        return found

    @contextmanager
    def _files_of(self, runner: Runner) -> Iterator[None]:
        outer, self._source = self._source, runner
        yield
        self._source = outer

    def _start_python(self, places: tuple[str, ...]) -> bool:
        """Start the Python guest on the contract, at the first of `places` among its files."""
        if PYTHON_HOME.strip("/") in self._tree.root.entries:
            _refuse(f"nothing can be mapped below {PYTHON_HOME} of a Python contract")
        contract = self._contract
        for place in places:
            if place in contract.files:
                self._put("/contract.py", contract.files[place])
                break
            if folder := list(contract.folder(place)):
                for name, content in folder:
                    self._put("/contract/" + name, content)
                break
        self._tree.put(DEVICE, Device())
        variables = self._variables | PYTHON_VARIABLES
        if self._libraries:
            variables["PYTHONPATH"] = _search_path(self._libraries, variables)
        self._start(None, list(PYTHON_ARGUMENTS), variables)
        return True

    def _start(self, module: bytes | None, arguments: list[str], variables: dict[str, str]) -> None:
        self.program = Program(
            module, arguments, variables, self._tree, self._linked, self._libraries
        )

    def map_file(self, value: Any) -> bool:
        source, target = _fields(value, "MapFile", "file", "to")
        if source.endswith("/"):
            for name, content in self._source.folder(source):
                self._put(target.rstrip("/") + "/" + name, content)
        else:
            self._put(target, self._source.file(source))
        return False

    def add_variable(self, value: Any) -> bool:
        name, text = _fields(value, "AddEnv", "name", "val")
        size = self._expanded_size(text)
        self._variable_bytes += size
        if size > MAX_VARIABLE:
            _refuse(f"AddEnv: {name!r} has more than {MAX_VARIABLE} bytes")
        if self._variable_bytes > MAX_VARIABLE_BYTES:
            _refuse(f"AddEnv: all values have more than {MAX_VARIABLE_BYTES} bytes")
        if not name or "=" in name or "\0" in name + text:
            _refuse("AddEnv: no variable can have this name or value")
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
            _refuse("SetArgs: expected a list of strings")
        if len(value) > MAX_ARGUMENTS or sum(len(t.encode()) for t in value) > MAX_ARGUMENT_BYTES:
            _refuse(
                f"SetArgs: expected at most {MAX_ARGUMENTS} strings of {MAX_ARGUMENT_BYTES} bytes "
                "together"
            )
        self._arguments = value
        return False

    def link(self, path: Any) -> bool:
        module = bytes(self._source.file(path))
        if path in self._linked:
            _refuse(f"LinkWasm: a module {path!r} is linked already")
        if len(self._linked) >= MAX_LINKED:
            _refuse(f"LinkWasm: more than {MAX_LINKED} modules are linked")
        self._linked[path] = module
        return False

    def start(self, path: Any) -> bool:
        self._start(bytes(self._source.file(path)), self._arguments, self._variables)
        return True

    def _put(self, path: str, content: bytes | memoryview) -> None:
        self._mapped += 1
        if self._mapped > MAX_MAPPED:
            _refuse(f"MapFile: more than {MAX_MAPPED} files are mapped")
        if len(path.encode()) > MAX_PATH or "\0" in path:
            _refuse(f"MapFile: a path has at most {MAX_PATH} bytes, and no NUL")
        try:
            self._tree.put(path, File(content))
        except WasiError as error:
            _refuse(f"nothing can be mapped to {path!r}: {_UNMAPPED[error.errno]}")
        if self._tree.nodes > MAX_NODES:
            _refuse(f"MapFile: more than {MAX_NODES} files and folders")


def _search_path(libraries: list[str], variables: dict[str, str]) -> str:
    """Return where modules are searched: in folders of our own first, then where it was said."""
    names = dict.fromkeys(folder for name in libraries for folder in PYTHON_LIBRARIES[name])
    folders = [f"{PYTHON_HOME}/libraries/{name}" for name in names]
    return ":".join([*folders, *filter(None, [variables.get("PYTHONPATH")])])


def _refuse(why: str) -> NoReturn:
    """Raise `InvalidContract` for a description that cannot be performed."""
    raise InvalidContract(why, "malformed_runner") from None


def _fields(value: Any, action: str, *names: str) -> list[Any]:
    """Return the named fields of an action, all of them strings but `action`."""
    if isinstance(value, dict) and all(name in value for name in names):
        found = [value[name] for name in names]
        if all(isinstance(value[name], str) for name in names if name != "action"):
            return found
    _refuse(f"{action}: expected {' and '.join(names)}")


_ACTIONS: dict[str, Callable[[_Setup, Any], bool]] = {
    "Seq": _Setup.sequence,
    "When": _Setup.when,
    "Depends": _Setup.depends,
    "With": _Setup.with_runner,
    "MapFile": _Setup.map_file,
    "AddEnv": _Setup.add_variable,
    "SetArgs": _Setup.set_arguments,
    "LinkWasm": _Setup.link,
    "StartWasm": _Setup.start,
}
