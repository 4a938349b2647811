"""What the tests of whole processes may ask for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.calls import Chain
from tests.support.node_host import NodeHost


@pytest.fixture
def chain() -> Iterator[Chain]:
    """A host with an empty state, to deploy contracts to and call them."""
    host = NodeHost()
    # A socket's path has to be short, which pytest's own folders are not.
    with (
        tempfile.TemporaryDirectory(prefix="genvm-") as folder,
        host.listen(Path(folder) / "host") as address,
    ):
        yield Chain(host, address)
