"""Where browsers write to, and what is left of it when nobody was there to remove it."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from genvm_manager.workers.web.browser.profile import (
    make_profile,
    remove_orphaned_profiles,
    user_data,
)
from tests.support.waiting import TIMEOUT


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Our folder for temporary files, open to all."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def where(user: pwd.struct_passwd | None) -> Path:
    with make_profile(user) as profile:
        assert profile.stat().st_uid == (user.pw_uid if user else os.geteuid())
        assert profile.stat().st_mode & 0o077 == 0
        profile.rmdir()
        return profile.parent


def test_it_lies_among_the_temporary_files(temporary: Path) -> None:
    assert where(None) == temporary


def test_a_browser_that_does_not_start_leaves_none(temporary: Path) -> None:
    with pytest.raises(OSError, match="no program"), make_profile(None):
        raise OSError("no program")
    assert not list(temporary.iterdir())


def test_it_lies_elsewhere_when_chromium_could_not_work_there(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = temporary / ("long" * 10)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert where(None) == Path("/tmp")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts browsers as another user")
def test_it_lies_elsewhere_when_its_user_could_not_get_there(temporary: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    assert where(nobody) == temporary
    temporary.chmod(0o700)
    assert where(nobody) == Path("/tmp")
    assert where(None) == temporary


def test_those_of_the_dead_go_with_their_browsers(temporary: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    orphan = temporary / f"genvm-browser-{dead.pid}-1-abcdefgh"
    (orphan / "Default").mkdir(parents=True)
    unknown = temporary / "genvm-browser-of-somebody"
    unknown.mkdir()
    sleep = "import time; time.sleep(600)"
    with (
        make_profile(None) as ours,
        subprocess.Popen([sys.executable, "-c", sleep, user_data(orphan)]) as browser,
        subprocess.Popen([sys.executable, "-c", sleep, user_data(ours)]) as living,
    ):
        remove_orphaned_profiles()
        assert browser.wait(TIMEOUT) < 0
        assert living.poll() is None
        assert set(temporary.iterdir()) == {ours, unknown}
        living.kill()


def test_those_of_the_dead_go_before_a_parent_has_looked(temporary: Path) -> None:
    code = "import os, genvm_manager.workers.web.browser.profile as it\n"
    code += "with it.make_profile(None): os._exit(0)"
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as dead:
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
        assert len(list(temporary.iterdir())) == 1
        remove_orphaned_profiles()
        assert not list(temporary.iterdir())
