"""Who may import whom (docs/ARCHITECTURE.md): read from the sources, so nothing escapes it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
OURS = {"protocol", "manager", "supervisor", "workers"}

ALLOWED = {
    "protocol": {"protocol"},
    "manager": {"manager", "protocol"},
    "supervisor": {"supervisor", "protocol", "workers.pool"},
    "workers": {"workers", "protocol"},
}
RESERVED = {"wasmtime": "workers/genvm/", "flask": "manager/", "gunicorn": "manager/"}
PURE = ("asyncio", "os", "sqlite3", "subprocess", "threading", "time")


def sources() -> list[Path]:
    found = [path for package in sorted(OURS) for path in (PROJECT / package).rglob("*.py")]
    assert found
    return [path.relative_to(PROJECT) for path in found]


def imports(path: Path) -> Iterator[str]:
    """Dotted names of all that `path` imports, relative ones resolved."""
    for node in ast.walk(ast.parse((PROJECT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = path.parent.parts[: len(path.parent.parts) - node.level + 1]
            base = [*above, *filter(None, [node.module])] if node.level else [node.module or ""]
            yield ".".join(base)
            yield from (".".join([*base, alias.name]) for alias in node.names)


def is_guest(path: Path) -> bool:
    """Guest files live inside WebAssembly, with a world of their own."""
    return path.is_relative_to("workers/genvm/guest")


@pytest.mark.parametrize("path", [path for path in sources() if not is_guest(path)], ids=str)
def test_imports_point_the_right_way(path: Path) -> None:
    allowed = ALLOWED[path.parts[0]]
    for name in imports(path):
        top = name.split(".")[0]
        if top in OURS:
            is_fine = any(name == one or name.startswith(one + ".") for one in allowed)
            reaches_down = name in {one.split(".")[0] for one in allowed}
            assert is_fine or reaches_down, f"{path} imports {name}"
        if top in RESERVED:
            assert str(path).startswith(RESERVED[top]), f"{path} imports {name}"


@pytest.mark.parametrize(
    "path", [path for path in sources() if path.is_relative_to("supervisor/core")], ids=str
)
def test_core_is_pure(path: Path) -> None:
    for name in imports(path):
        assert name.split(".")[0] not in PURE, f"{path} imports {name}: core has no I/O, no clock"


def test_the_guest_reaches_nothing_of_ours_but_itself() -> None:
    for path in filter(is_guest, sources()):
        for name in imports(path):
            assert name.split(".")[0] not in OURS - {"workers"}, f"{path} imports {name}"
