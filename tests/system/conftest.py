"""What the tests of the whole service may ask for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.service import Service, private_service
from tests.support.author import Author


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A real service of the module's own."""
    with (
        tempfile.TemporaryDirectory(prefix="genvm-test-") as folder,
        private_service(Path(folder), quiet=False) as service,
    ):
        yield service


@pytest.fixture
def author(tmp_path: Path, service: Service) -> Author:
    """Somebody who types commands at that service, with a fresh local node."""
    return Author(tmp_path, service.address)
