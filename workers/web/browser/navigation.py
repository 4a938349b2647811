"""Maps Chromium's errors of a failed navigation to the codes that a contract sees.

Source: docs/spec/05-modules.md.
"""

from __future__ import annotations

from genvm_manager.workers.web.faults import (
    CONNECTION_FAILED,
    MALFORMED_RESPONSE,
    MALFORMED_URL,
    PORT_FORBIDDEN,
    SCHEMA_FORBIDDEN,
    TOO_MANY_REDIRECTS,
    WEBPAGE_LOAD_FAILED,
)

NO_DOCUMENT = "net::ERR_ABORTED"
"""The server answered without a page: 204, 205 or 304. Downloads are detected elsewhere."""

_CODES = {
    "net::ERR_TOO_MANY_REDIRECTS": TOO_MANY_REDIRECTS,
    "net::ERR_UNSAFE_REDIRECT": SCHEMA_FORBIDDEN,
    "net::ERR_UNSAFE_PORT": PORT_FORBIDDEN,
    "net::ERR_INVALID_URL": MALFORMED_URL,
    "net::ERR_INVALID_REDIRECT": MALFORMED_URL,
    "net::ERR_EMPTY_RESPONSE": MALFORMED_RESPONSE,
}
_CODES_BY_PREFIX = {
    "net::ERR_CERT_": CONNECTION_FAILED,
    "net::ERR_SSL_": CONNECTION_FAILED,
    "net::ERR_CONNECTION_": CONNECTION_FAILED,
    "net::ERR_TUNNEL_": CONNECTION_FAILED,
    "net::ERR_INVALID_": MALFORMED_RESPONSE,
    "net::ERR_RESPONSE_": MALFORMED_RESPONSE,
    "net::ERR_CONTENT_": MALFORMED_RESPONSE,
    "net::ERR_INCOMPLETE_": MALFORMED_RESPONSE,
    "net::ERR_HTTP2_": MALFORMED_RESPONSE,
}


def code_of(error: str) -> str:
    """Return the code for an error of Chromium."""
    if error in _CODES:
        return _CODES[error]
    for prefix, code in _CODES_BY_PREFIX.items():
        if error.startswith(prefix):
            return code
    return WEBPAGE_LOAD_FAILED
