"""The published vectors of the Python SDK and of storage, each played on the real executor.

Source: docs/spec/07-python-sdk.md and docs/spec/08-storage-layout.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.vectors import differences, vectors

VECTORS = vectors()


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_a_vector_ends_as_it_says(vector: dict[str, Any]) -> None:
    assert differences(vector) == []


def test_each_vector_has_a_name_of_its_own() -> None:
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS)
