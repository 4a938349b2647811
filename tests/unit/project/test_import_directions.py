"""Who may import whom (docs/architecture.md): read from the sources, so nothing escapes it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from genvm_manager.workers.genvm.python.guest_files import read_guest_sources
from tests.conftest import PROJECT

ROOT = "genvm_manager"
FOLDERS = ("base", "protocol", "manager", "supervisor", "workers")

ALLOWED = {
    "base": {"base"},
    "protocol": {"base", "protocol"},
    "manager.ipc_client": {"base", "protocol", "manager.ipc_client"},
    "manager.api": {"base", "protocol", "manager.ipc_client", "manager.api"},
    "manager.server": {
        "base", "protocol", "manager.ipc_client", "manager.api", "manager.server",
    },
    "manager.client": {"base", "protocol", "manager.client"},
    "manager.launcher": {
        "base", "protocol", "manager.ipc_client", "manager.client", "manager.launcher",
    },
    "manager.local_node": {"base", "protocol", "manager.client", "manager.local_node"},
    "manager": {"base", "protocol", "manager"},
    "supervisor": {"base", "protocol", "supervisor", "workers.pool"},
    "workers": {"base", "protocol", "workers"},
    "workers.genvm.engine": {"base", "protocol", "workers.genvm.engine"},
    "workers.genvm.wasi": {
        "base", "protocol", "workers.genvm.engine", "workers.genvm.wasi",
    },
    "workers.genvm.calls": {
        "base", "protocol", "workers.genvm.engine", "workers.genvm.wasi", "workers.genvm.calls",
        "workers.genvm.log",
    },
    "workers.genvm.python": {
        "base", "protocol", "workers.genvm.engine", "workers.genvm.wasi", "workers.genvm.calls",
        "workers.genvm.python",
    },
}  # fmt: skip
"""What each package may import; the longest name counts."""

RESERVED = {
    "flask": "manager/api/",
    "gunicorn": "manager/server/",
    "wasmtime": "workers/genvm/",
    "multiprocess": "workers/",
}
"""Which folder alone may import a library. `flask` is for `manager/server` as well."""

IMPURE = ("asyncio", "os", "sqlite3", "subprocess", "threading", "time")


@cache
def sources() -> dict[str, Path]:
    """The files of the product by their dotted names below the root, the guest's left out."""
    found = {}
    for folder in FOLDERS:
        for path in (PROJECT / folder).rglob("*.py"):
            relative = path.relative_to(PROJECT)
            if not relative.is_relative_to("workers/genvm/guest"):
                name = ".".join(relative.with_suffix("").parts)
                found[name.removesuffix(".__init__")] = path
    assert found
    return found


def imports(name: str, path: Path, *, at_start: bool = False) -> Iterator[str]:
    """Dotted names of all that a file imports; `at_start`: when it is imported itself."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text())
    for node in tree.body if at_start else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = [ROOT, *package.split(".")]
            above = above[: len(above) - node.level + 1]
            base = ".".join(
                [*above, *filter(None, [node.module])] if node.level else [node.module or ""]
            )
            yield from (f"{base}.{alias.name}" for alias in node.names)


def of_ours(name: str, path: Path, *, at_start: bool = False) -> set[str]:
    """The files of the product that a file imports."""
    found = set()
    for target in imports(name, path, at_start=at_start):
        if target.startswith(f"{ROOT}."):
            inner = target.removeprefix(f"{ROOT}.")
            found.add(inner if inner in sources() else inner.rpartition(".")[0])
    return found - {name, ""}


def is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("name", sorted(sources()))
def test_imports_point_the_right_way(name: str) -> None:
    package = max((one for one in ALLOWED if is_below(name, one)), key=len)
    for target in of_ours(name, sources()[name]):
        is_allowed = any(is_below(target, one) for one in ALLOWED[package])
        is_parent = any(is_below(one, target) for one in ALLOWED[package])
        assert is_allowed or is_parent, f"{name} imports {target}"


@pytest.mark.parametrize("name", sorted(sources()))
def test_libraries_of_one_package_stay_in_it(name: str) -> None:
    path = sources()[name]
    for target in imports(name, path):
        folder = RESERVED.get(target.split(".")[0])
        where = path.relative_to(PROJECT).as_posix()
        is_server = target.startswith("flask") and where.startswith("manager/server/")
        assert folder is None or where.startswith(folder) or is_server, f"{name} imports {target}"


@pytest.mark.parametrize("name", [name for name in sorted(sources()) if ".rules_" in name])
def test_rules_are_pure(name: str) -> None:
    for target in imports(name, sources()[name]):
        assert target.split(".")[0] not in IMPURE, f"{name} imports {target}: no I/O, no clock"


def test_nothing_imports_in_a_circle() -> None:
    edges = {name: of_ours(name, path) for name, path in sources().items()}
    assert circles(edges) == []


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Sets of files that reach each other (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in edges.get(name, ()):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            at = stack.index(name)
            component = stack[at:]
            del stack[at:]
            if len(component) > 1:
                found.append(sorted(component))

    for name in edges:
        if name not in index:
            visit(name)
    return found


def test_the_guest_reaches_nothing_of_ours_but_itself() -> None:
    for path in (PROJECT / "workers/genvm/guest").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            assert not any(is_below(name, ROOT) for name in names), path


def test_the_guest_imports_nothing_in_a_circle() -> None:
    """Imports inside functions count as well: they are how a circle is hidden."""
    files = read_guest_sources()
    names = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files}
    edges: dict[str, set[str]] = {}
    for path, source in files.items():
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        package = name if path.endswith("__init__.py") else name.rpartition(".")[0]
        found = set(_guest_imports(ast.parse(source), package.split(".")))
        edges[name] = {each if each in names else each.rpartition(".")[0] for each in found} & names
        edges[name] -= {name, *(each for each in names if is_below(name, each))}
    assert edges["genlayer.py.storage.records"] >= {"genlayer.py.storage.layout"}
    assert circles(edges) == []


def _guest_imports(tree: ast.AST, package: list[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def test_every_package_is_installed() -> None:
    listed: dict[str, set[str]] = defaultdict(set)
    for name, path in sources().items():
        if path.name == "__init__.py":
            listed["found"].add(f"{ROOT}.{name}")
    lines = (PROJECT / "setup.cfg").read_text().partition("\npackages =\n")[2].splitlines()
    for line in lines:
        if not line.startswith("    "):
            break
        listed["setup.cfg"].add(line.strip())
    assert listed["setup.cfg"] == listed["found"]
