"""`genvm-manager run` and `call` where a folder cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.author import Author


def test_a_state_folder_that_cannot_be_written_is_said_before_a_service_is_started(
    tmp_path: Path,
) -> None:
    author = Author(tmp_path, None)
    author.state_dir.write_text("no folder")
    ended = author.types("run", str(author.probe))
    assert ended.code == 64, ended.stderr


def test_a_ledger_that_is_none_is_said_before_a_service_is_started(tmp_path: Path) -> None:
    author = Author(tmp_path, None)
    author.state_dir.mkdir()
    (author.state_dir / "local-node.db").write_text("no database" * 1000)
    ended = author.types("run", str(author.probe))
    assert (ended.code, ended.stderr) == (
        3,
        f"Error: the local node cannot be kept in {author.state_dir}/local-node.db: file is not a "
        "database; have this user write it, or move it away, or name another state folder by "
        "--state-dir\n",
    )


def test_without_the_usual_cache_one_in_the_state_folder_serves_all_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = Author(tmp_path, None)
    monkeypatch.setenv("GENVM_CACHE_DIR", "/dev/null")
    first, second = (author.types("run", str(author.probe), "--args", '["a"]') for _ in range(2))
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert "compiling" in first.stderr
    assert "compiling" not in second.stderr
    assert list((author.state_dir / "cache").iterdir())
