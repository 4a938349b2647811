"""What every test may ask for."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PUBLISHED = PROJECT / ".venv" / "published-contracts"


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
