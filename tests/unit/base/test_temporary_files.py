"""What commands leave in the state folder when they are killed, where /tmp cannot be written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from genvm_manager.base.files import temporary_files as module
from genvm_manager.base.files.state_folder import temporary_files
from genvm_manager.base.files.temporary_files import settle_temporary_files, temporary_folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the temporary files of `tmp_path`, where no other place can be written."""
    monkeypatch.setattr(module, "_USUAL", ())
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("TMPDIR", "TEMP", "TMP"):
        # Even when the test ends, what it sets is undone.
        monkeypatch.setenv(name, "/proc")
    settle_temporary_files(tmp_path)
    place = temporary_files(tmp_path)
    assert os.environ["TMPDIR"] == str(place)
    return place


def settled_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What is there after another process has started, an hour later."""
    for each in place.iterdir():
        os.utime(each, (0, 0), follow_symlinks=False)
    monkeypatch.setenv("TMPDIR", "/proc")
    monkeypatch.setattr(tempfile, "tempdir", None)
    settle_temporary_files(place.parent)
    return {each.name for each in place.iterdir()}


def left(place: Path, name: str) -> None:
    (place / name / "deeper").mkdir(parents=True)
    (place / name / "in-use").touch()


def test_what_nobody_uses_is_removed_at_the_next_start(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(place, "genvm-run-killed")
    with temporary_folder("genvm-node-") as folder:
        assert folder.parent == place
        assert settled_again(place, monkeypatch) == {folder.name}
    assert list(place.iterdir()) == []


def test_what_is_none_of_ours_stays(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(place, "somebody-s")
    (place / "genvm-browser-profile").mkdir()
    left(tmp_path, "elsewhere")
    (place / "genvm-link").symlink_to(tmp_path / "elsewhere")
    (place / "genvm-file").touch()
    before = {each.name for each in place.iterdir()}
    assert settled_again(place, monkeypatch) == before
    assert (tmp_path / "elsewhere" / "deeper").is_dir()


def test_what_is_young_may_not_be_locked_yet(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left(place, "genvm-run-young")
    monkeypatch.setenv("TMPDIR", "/proc")
    monkeypatch.setattr(tempfile, "tempdir", None)
    settle_temporary_files(place.parent)
    assert (place / "genvm-run-young").is_dir()
