"""`genvm-manager demo`: what a newcomer sees first."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.service import GENVM_MANAGER, processes_of
from tests.support.waiting import TIMEOUT, wait_until


def test_the_demo_shows_a_contract_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory(prefix="genvm-test-") as scratch:
        monkeypatch.setenv("TMPDIR", scratch)
        ended = subprocess.run(
            [GENVM_MANAGER, "demo"], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        assert ended.returncode == 0, ended
        shown = ended.stdout
        assert '  in       sign("Hello from a contract")' in shown
        assert "  returned 1\n" in shown
        assert '"Hello from a contract"' in shown.partition("read --view")[2]
        assert shown.count("  storage  ") == 2, "two writes and a view"
        assert shown.count("  time     ") == 3
        assert list(Path(scratch).iterdir()) == []
        wait_until(lambda: not processes_of(Path(scratch)))
