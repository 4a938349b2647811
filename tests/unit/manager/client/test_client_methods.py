"""The typed client beside the declarations: it reaches each operation that answers in JSON."""

from __future__ import annotations

import ast
import inspect
import re

from genvm_manager.manager.api.declaration.content import Json
from genvm_manager.manager.api.operations import OPERATIONS
from genvm_manager.manager.client import client


def paths_in(source: str) -> set[str]:
    """The paths that a source names, with `{}` in place of what is filled in."""
    nodes = list(ast.walk(ast.parse(source)))
    filled = [node.values for node in nodes if isinstance(node, ast.JoinedStr)]
    pieces = {id(piece) for values in filled for piece in values}
    found = {
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and id(node) not in pieces and isinstance(node.value, str)
    }
    for values in filled:
        parts = [each.value if isinstance(each, ast.Constant) else "{}" for each in values]
        found.add("".join(map(str, parts)))
    return {text for text in found if re.fullmatch(r"(/[a-z{}-]+)+", text)}


def test_the_client_knows_the_paths_of_all_operations_that_answer_in_json() -> None:
    declared = {
        re.sub(r"{\w+}", "{}", operation.path)
        for operation in OPERATIONS
        if isinstance(operation.reply, Json)
    }
    assert paths_in(inspect.getsource(client)) == declared
