"""The HTTP methods that contracts may use."""

from __future__ import annotations

import ast
from typing import get_args

from genvm_manager.protocol.module_frames import HttpMethod
from tests.conftest import PROJECT


def test_the_guest_which_cannot_import_the_list_has_the_same() -> None:
    source = (PROJECT / "workers/genvm/guest/genlayer/gl/nondet/web.py").read_text()
    (methods,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "METHODS"
    )
    assert methods == get_args(HttpMethod)
