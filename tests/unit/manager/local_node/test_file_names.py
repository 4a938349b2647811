"""A contract's file under its author's name: `genvm_manager.manager.local_node.file_names`."""

from __future__ import annotations

import pytest

from genvm_manager.manager.local_node.file_names import with_file_name


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("KeyError: 1 (contract.py:2, in f)", "KeyError: 1 (a b.py:2, in f)"),
        ("E: (contract.py:1) (contract.py:2)", "E: (contract.py:1) (a b.py:2)"),
        ('  File "contract.py", line 2\n    x\n', '  File "a b.py", line 2\n    x\n'),
        ('  |   File "contract.py", line 2, in f', '  |   File "a b.py", line 2, in f'),
        ('  File "0x12/contract.py", line 2', '  File "0x12/contract.py", line 2'),
        ("E (contract/__init__.py:2)", "E (contract/__init__.py:2)"),
        ("", ""),
    ],
)
def test_the_file_has_the_name_that_its_author_gave_it(text: str, seen: str) -> None:
    assert with_file_name(text, "a b.py") == seen
    assert with_file_name(text, None) == text
