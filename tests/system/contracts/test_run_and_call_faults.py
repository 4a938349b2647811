"""`genvm-manager run` and `call` where a folder cannot be used."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from genvm_manager.base.files.cache_folder import usual_cache_folder
from tests.support.author import DEADLINE, Author
from tests.support.service import RunningService
from tests.support.waiting import wait_until


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
        "database; let this user write it, or move it away, or name another state folder by "
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


def test_a_full_disk_is_said_with_what_to_do(tmp_path: Path) -> None:
    author = Author(tmp_path, None)
    author.state_dir.mkdir()
    fill = 'mount -t tmpfs -o size=64k none "$0" && { head -c 99999 /dev/zero >"$0/f"; exec "$@"; }'
    full = ["unshare", "--mount", "sh", "-c", fill, str(author.state_dir)]
    if subprocess.run([*full, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    with author.starts("run", str(author.probe), before=full) as process:
        _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 3
    assert "free space on its disk, or name another state folder by --state-dir" in said


def test_a_service_that_goes_is_said_with_what_has_become_of_the_call(
    tmp_path: Path,
) -> None:
    cache = {"GENVM_CACHE_DIR": str(usual_cache_folder(os.environ))}
    config = "{http_workers: 1}"
    with RunningService(executor=None, config=config, environment=cache) as service:
        author = Author(tmp_path, service.url)
        address = author.deploys()
        with author.starts("call", address, "hang") as process:
            wait_until(lambda: service.client.status().permits.in_use == 1)
            service.half("http").kill()
            _, said = process.communicate(timeout=DEADLINE)
        assert process.returncode == 3
        assert said.endswith("; nothing has changed: repeat the command once the service is back\n")
        assert author.reads(address) == "hello"
