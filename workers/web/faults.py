"""The faults of requests as the contract sees them: one code each.

Source: docs/spec/05-modules.md#web-requests.

`ctx` of a fault always holds the `url` that failed, which after a redirect is not the first one.
"""

from __future__ import annotations

from typing import Any

from genvm_manager.protocol.module_frames import UserFault

SCHEMA_FORBIDDEN = "SCHEMA_FORBIDDEN"
PORT_FORBIDDEN = "PORT_FORBIDDEN"
TLD_FORBIDDEN = "TLD_FORBIDDEN"
ADDRESS_FORBIDDEN = "ADDRESS_FORBIDDEN"
MALFORMED_URL = "MALFORMED_URL"
MALFORMED_HEADER = "MALFORMED_HEADER"
HOST_NOT_FOUND = "HOST_NOT_FOUND"
CONNECTION_FAILED = "CONNECTION_FAILED"
MALFORMED_RESPONSE = "MALFORMED_RESPONSE"
BODY_TOO_LARGE = "BODY_TOO_LARGE"
TOO_MANY_REDIRECTS = "TOO_MANY_REDIRECTS"
TIMEOUT = "TIMEOUT"
WEBPAGE_LOAD_FAILED = "WEBPAGE_LOAD_FAILED"
WEBPAGE_CRASHED = "WEBPAGE_CRASHED"
BROWSER_UNAVAILABLE = "BROWSER_UNAVAILABLE"


class WebFault(UserFault):
    """A request that failed: `code` is one of the above, `reason` a sentence."""

    def __init__(self, code: str, url: str, reason: str, **context: Any) -> None:
        super().__init__([code], {"url": url, "reason": reason, **context})
        self.code = code
        self.reason = reason

    def about(self, url: str) -> WebFault:
        """Return the same fault for another URL."""
        return WebFault(self.code, url, self.reason)
