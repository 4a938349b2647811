"""The published vectors of the Python SDK and of storage, each played on the real executor.

Source: docs/spec/07-python-sdk.md and docs/spec/08-storage-layout.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.vectors import differences, failing, vectors

NAMES = [vector["name"] for vector in vectors()]
FAILING = failing()


@pytest.mark.parametrize(
    "vector",
    [
        pytest.param(
            vector,
            id=vector["name"],
            marks=[pytest.mark.xfail(strict=True)] if vector["name"] in FAILING else [],
        )
        for vector in vectors()
    ],
)
def test_a_vector_ends_as_it_says(vector: dict[str, Any]) -> None:
    assert differences(vector) == []


def test_each_vector_has_a_name_of_its_own() -> None:
    assert len(set(NAMES)) == len(NAMES)


def test_what_is_known_to_fail_is_a_vector() -> None:
    assert set(FAILING) <= set(NAMES)
