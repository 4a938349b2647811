"""Private members of libraries: each is as it was, and none is used that is not in the table."""

from __future__ import annotations

import ast
import importlib
import inspect
import platform
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT

from .private_members import ATTRIBUTE, CLASS, MEMBERS, MODULE, VALUE, Member

FOLDERS = ("base", "protocol", "manager", "supervisor", "workers")

PUBLIC = {"_asdict", "_replace", "_exit", "_typeshed"}
"""Documented in spite of their names: NamedTuple, `os._exit`, types for mypy alone."""

EXTENDED = {
    "Master": "gunicorn_master",
    "ServiceWorker": "gunicorn_worker",
    "BoundedUnreader": "unreader",
    "JoinedLogger": "gunicorn_log",
    "HttpService": "service",
}
"""Our classes that extend a class of gunicorn, and their files."""

PASSED = {
    "conn": "gunicorn.workers.gthread:TConn",
    "conn.parser": "gunicorn.http.parser:Parser",
    "conn.parser.unreader": "gunicorn.http.unreader:Unreader",
    "req": "gunicorn.http.message:Request",
    "arbiter": "gunicorn.arbiter:Arbiter",
    "listener": "gunicorn.sock:BaseSocket",
    "halt": "gunicorn.errors:HaltServer",
    "self.method_queue": "gunicorn.workers.gthread:PollableMethodQueue",
}
"""Objects that gunicorn hands to `manager/server`, by the names that they have there."""


def described(member: Member) -> str:
    """Return what a failure says of a member: the version, the name, the file and its reason."""
    installed = platform.python_version() if member.library == "Python" else version(member.library)
    return (
        f"{member.library} {installed}: {member.owner}.{member.name}, which {member.file} uses "
        f"({member.use})"
    )


def resolve(name: str) -> Any:
    """Return what `module` or `module:Class.method` names."""
    module, _, inner = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in filter(None, inner.split(".")):
        found = getattr(found, part)
    return found


def has_attribute(owner: type, name: str) -> bool:
    """Return whether objects of a class have an attribute: declared there, or assigned."""
    for each in owner.__mro__[:-1]:
        if name in vars(each) or name in vars(each).get("__annotations__", {}):
            return True
        if re.search(rf"\bself\.{name}\b(:[^=\n]+)? *(?:[+-]=|=[^=])", source(each)):
            return True
    return False


@cache
def source(owner: type) -> str:
    """Return the text of a class's methods. That of the class itself is not found for httpx and
    httpcore, whose classes name another module than theirs."""
    return "".join(inspect.getsource(each) for each in vars(owner).values() if is_written(each))


def is_written(member: object) -> bool:
    """Return whether a member is a function of a file, and not made by a library."""
    return inspect.isfunction(member) and Path(member.__code__.co_filename).exists()


def kind_of(owner: Any, name: str, expected: str) -> str:
    """Return a member's kind, in the terms of the table, or what it is instead."""
    if expected == ATTRIBUTE:
        return ATTRIBUTE if has_attribute(owner, name) else "not there"
    if expected == MODULE:
        try:
            importlib.import_module(f"{owner.__name__}.{name}")
        except ImportError:
            return "not there"
        return MODULE
    found = getattr(owner, name, None)
    if found is None:
        return "not there"
    if isinstance(found, type):
        return CLASS
    if not callable(found):
        return VALUE
    parameters = inspect.signature(found).parameters.values()
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
    return f"({', '.join(stars.get(each.kind.name, '') + each.name for each in parameters)})"


@pytest.mark.parametrize("member", MEMBERS, ids=lambda m: f"{m.owner}.{m.name} in {m.file}")
def test_a_private_member_is_as_it_was(member: Member) -> None:
    what = described(member)
    try:
        owner = resolve(member.owner)
    except (ImportError, AttributeError) as error:
        pytest.fail(f"{what}: its owner is not there: {error}")
    kind = kind_of(owner, member.name, member.kind)
    assert kind == member.kind, f"{what}: expected {member.kind}, it is {kind}"
    if member.caller:
        calls = inspect.getsource(resolve(member.caller))
        assert re.search(rf"\.{member.name}\b", calls), f"{what}: {member.caller} calls it no more"


def test_gunicorn_gives_an_application_the_client_s_socket() -> None:
    text = inspect.getsource(importlib.import_module("gunicorn.http.wsgi"))
    assert '"gunicorn.socket"' in text, f"gunicorn {version('gunicorn')}: request_body.py needs it"


# ------------------------------------------------------------------------------ what we really use


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Our files but the guest's, with their syntax trees."""
    for folder in FOLDERS:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            where = path.relative_to(PROJECT).as_posix()
            if not where.startswith("workers/genvm/guest/"):
                yield where, ast.parse(path.read_text())


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC | {"_"}


def defined_in(tree: ast.Module) -> set[str]:
    """Names that a file gives itself, so that they are its own wherever it uses them."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"self", "cls"}:
            names |= {node.attr} if isinstance(node.ctx, ast.Store) else set()
    return names


def private_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where a file uses a private name of another project, and which."""
    own = defined_in(tree)
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = (node.module or "").split(".")
            if module[0] != "genvm_manager":
                found = [*module, *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Attribute) and node.attr not in own:
            found = [node.attr]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"getattr", "setattr"}:
            found = [str(node.args[1].value)] if isinstance(node.args[1], ast.Constant) else []
        elif isinstance(node, ast.Constant) and re.fullmatch(r"\w+\._\w+", str(node.value)):
            found = str(node.value).split(".")
        line = getattr(node, "lineno", 0)
        yield from ((line, name) for name in found if is_private(name))


LISTED = {(member.file, part) for member in MEMBERS
          for part in (member.name, *re.split("[.:]", member.owner))}  # fmt: skip


def test_no_private_name_is_used_that_is_not_in_the_table() -> None:
    missing = [
        f"{where}:{line}: {name}"
        for where, tree in sources()
        for line, name in private_names(tree)
        if (where, name) not in LISTED
    ]
    assert missing == [], "add these to tests/contract/private_members.py, or do without them"


def test_a_private_name_is_used_in_one_file_only() -> None:
    files: dict[tuple[str, str], set[str]] = {}
    for member in MEMBERS:
        if is_private(member.name):
            files.setdefault((member.owner, member.name), set()).add(member.file)
    assert {name: where for name, where in files.items() if len(where) > 1} == {}


def test_each_entry_of_the_table_is_used_where_it_says() -> None:
    for member in MEMBERS:
        text = (PROJECT / member.file).read_text()
        # The handlers of signals are called by names that are put together.
        is_used = re.search(rf"\b{member.name}\b", text) or member.name.startswith("handle_")
        assert is_used, f"{member.file} no longer uses {member.owner}.{member.name}"


@pytest.mark.parametrize("name", EXTENDED)
def test_what_our_classes_take_from_gunicorn_s_is_in_the_table(name: str) -> None:
    where = f"manager/server/{EXTENDED[name]}.py"
    tree = ast.parse((PROJECT / where).read_text())
    ours = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
    module = importlib.import_module(f"genvm_manager.manager.server.{EXTENDED[name]}")
    bases = getattr(module, name).__mro__[1:-1]
    used = {node.name for node in ours.body if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(ours):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"self", "super()"}:
            used.add(node.attr)
    theirs = {each for each in used if any(has_attribute(base, each) for base in bases)}
    missing = {each for each in theirs if not each.startswith("__")} - of_file(where)
    assert missing == set(), f"add these of {where} to tests/contract/private_members.py"


def test_what_gunicorn_hands_us_is_used_as_the_table_says() -> None:
    for path in sorted((PROJECT / "manager/server").glob("*.py")):
        where = path.relative_to(PROJECT).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and (owner := PASSED.get(ast.unparse(node.value))):
                is_theirs = has_attribute(resolve(owner), node.attr)
                is_known = not is_theirs or node.attr in of_file(where)
                assert is_known, f"{where}:{node.lineno}: {owner}.{node.attr} is not in the table"


def test_functions_of_wasmtime_s_c_api_are_in_the_table() -> None:
    for where, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "ffi":
                assert node.attr in of_file(where), f"{where}:{node.lineno}: ffi.{node.attr}"


def of_file(where: str) -> set[str]:
    """The names of the table that a file uses."""
    return {member.name for member in MEMBERS if member.file == where}


def test_a_member_that_changes_is_said_with_its_version_and_our_file() -> None:
    member = Member("gunicorn", "gunicorn.arbiter:Arbiter", "gone", "(self)", "x.py", "why")
    with pytest.raises(AssertionError) as failure:
        test_a_private_member_is_as_it_was(member)
    installed = version("gunicorn")
    assert str(failure.value).startswith(
        f"gunicorn {installed}: gunicorn.arbiter:Arbiter.gone, which x.py uses (why): expected "
        "(self), it is not there"
    )


def test_a_private_name_is_seen_in_each_form() -> None:
    text = """
import a._b
from c import _d
from e._f import g
h._i
getattr(j, "_k")
"l._m"
self._own = 1
other._own
"""
    found = {name for _, name in private_names(ast.parse(text))}
    assert found == {"_b", "_d", "_f", "_i", "_k", "_m"}
