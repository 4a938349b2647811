"""The browsers that there are for tests, and what of them is running."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from genvm_manager.workers.web.browser.browser import BrowserUnavailable, find_browser

from .certificates import Certificate

BROWSERS = [name for name in ("chromium-headless-shell", "chromium") if shutil.which(name)]


def _missing() -> str | None:
    try:
        find_browser(None)
    except BrowserUnavailable as error:
        return str(error)
    return None


needs_browser = pytest.mark.skipif(_missing() is not None, reason=_missing() or "")


def browser_family(pid: int) -> list[psutil.Process]:
    """Return the processes of browsers among the descendants of a process, browsers first.

    The scripts that start them are left out.
    """
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            if "chrom" in Path(process.exe()).name:
                found.append(process)
    return sorted(found, key=_is_helper)


def _is_helper(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return any(word.startswith("--type=") for word in process.cmdline())
    return True


@contextmanager
def browser_trusting(certificate: Certificate) -> Iterator[str]:
    """Return the path of a browser that trusts this certificate."""
    with tempfile.TemporaryDirectory(prefix="genvm-browser-script-") as folder:
        script = Path(folder) / "chromium"
        option = f"--ignore-certificate-errors-spki-list={certificate.key_hash}"
        script.write_text(f'#!/bin/sh\nexec {find_browser(None)} {option} "$@"\n')
        # The browser is not started by us, but by a user who may do nothing.
        Path(folder).chmod(0o755)
        script.chmod(0o755)
        yield str(script)
