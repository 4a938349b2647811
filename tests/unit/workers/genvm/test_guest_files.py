"""The Python files that the guest gets, and the check of those that others wrote."""

from __future__ import annotations

import shutil
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from genvm_manager.workers.genvm.engine.endings import ExecutorFault
from genvm_manager.workers.genvm.python.guest_files import CLOUDPICKLE_FILES, read_guest_sources


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a copy of `cloudpickle`, where packages are looked for."""
    spec = PathFinder.find_spec("cloudpickle")
    assert spec is not None
    assert spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, tmp_path / "cloudpickle")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    return tmp_path / "cloudpickle"


@pytest.mark.usefixtures("installed")
def test_all_files_come_in_a_fixed_order() -> None:
    names = list(read_guest_sources())
    assert names == sorted(names)
    assert {"boot.py", "genlayer/py/calldata.py", "cloudpickle/cloudpickle.py"} < {*names}


@pytest.mark.parametrize("name", CLOUDPICKLE_FILES)
def test_another_version_of_cloudpickle_is_refused(name: str, installed: Path) -> None:
    with (installed / name).open("a") as file:
        file.write("\n")
    with pytest.raises(ExecutorFault, match=f"{name}.*run pip install .* cloudpickle==3.1.3"):
        read_guest_sources()


def test_no_cloudpickle_is_refused(installed: Path) -> None:
    shutil.rmtree(installed)
    with pytest.raises(ExecutorFault, match="run pip install"):
        read_guest_sources()
