"""Whether there is a browser for tests that need one."""

from __future__ import annotations

import pytest

from workers.web.browser import BrowserUnavailable, find_browser


def _missing() -> str | None:
    try:
        find_browser(None)
    except BrowserUnavailable as error:
        return str(error)
    return None


needs_browser = pytest.mark.skipif(_missing() is not None, reason=_missing() or "")
