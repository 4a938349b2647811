"""The web module with a public internet of its own: a network namespace in which a public address
is ours, and loopback is the inside that nobody must reach (docs/spec/05-modules.md#safety)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.support.waiting import TIMEOUT
from tests.support.web_browser import BROWSERS

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"),
    reason="making a network namespace takes root, unshare and ip",
)


def happened(*options: str) -> dict[str, Any]:
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "tests.children.public_world", *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_requests_reach_the_public_and_nothing_inside() -> None:
    found = happened()
    assert found["public"] == "outside"
    assert found["mixed"] == "outside", "of a name's addresses only the public ones are used"
    assert found["before rebinding"] == "outside"
    assert found["after rebinding"] == "ADDRESS_FORBIDDEN"
    assert found["inside"] == "ADDRESS_FORBIDDEN"
    assert found["redirect"] == "ADDRESS_FORBIDDEN"
    assert found["asked inside"] == []
    assert found["unknown packets"] == []


@pytest.mark.parametrize("browser", BROWSERS)
def test_nothing_that_a_page_does_reaches_the_inside(browser: str) -> None:
    found = happened(browser)
    assert found["page"].startswith("outside")
    assert found["page"].endswith("tried 35"), "its script has run to the end"
    assert set(found["asked friend"]) == {"/frame"}, "frames from the public internet do load"
    assert found["asked inside"] == []
    assert found["unknown packets"] == [], "not a packet went anywhere else"
    assert found["strange names"] == [], "the browser has no errands of its own"
    assert not found["prefetched"], "the browser looks up no name itself"
    assert found["page redirect"] == "ADDRESS_FORBIDDEN"
    assert found["page inside"] == "ADDRESS_FORBIDDEN"
