"""What the tests of the whole service may ask for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from genvm_manager.manager.client.client import HttpClient
from genvm_manager.manager.launcher.private_service import private_service
from genvm_manager.manager.launcher.service import Service
from genvm_manager.protocol.ipc.runs import RunState
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
def author(tmp_path: Path, service: Service) -> Iterator[Author]:
    """Somebody who types commands at that service, with a fresh local node. Runs that a failed test
    leaves are ended: the next one must not see them."""
    yield Author(tmp_path, service.address)
    with HttpClient(service.address) as client:
        for genvm_id, run in client.status().executions.items():
            if run.state is not RunState.FINISHED:
                client.cancel(int(genvm_id), grace_ms=0)
