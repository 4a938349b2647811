"""What every test may ask for."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.signals import start_with_defaults

PROJECT = Path(__file__).resolve().parent.parent
settings.register_profile("genvm", deadline=None)  # A busy machine is slow, and not wrong.
settings.load_profile("genvm")
PUBLISHED = PROJECT / ".venv" / "published-contracts"


def pytest_configure(config: pytest.Config) -> None:
    """Tests start processes with the dispositions of signals that they need. Not where xdist's
    workers are started: those keep what was ignored, and come here themselves."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        start_with_defaults()


@pytest.fixture(scope="session")
def published_contracts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of contracts that others wrote, out of the wheel of genlayer-test."""
    wheels = sorted(PUBLISHED.glob("genlayer_test-*.whl"))
    if not wheels:
        pytest.skip(f"no genlayer-test wheel in {PUBLISHED}: run scripts/test, which fetches it")
    folder = tmp_path_factory.mktemp("published")
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(folder)
    return folder / "tests" / "examples" / "contracts"
