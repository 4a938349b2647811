"""What Chromium's words for a navigation that failed mean for a contract.

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
"""The server answered and sent no page: 204, 205 or 304. Downloads are told apart elsewhere."""

_CODES = {
    "net::ERR_TOO_MANY_REDIRECTS": TOO_MANY_REDIRECTS,
    "net::ERR_UNSAFE_REDIRECT": SCHEMA_FORBIDDEN,
    "net::ERR_UNSAFE_PORT": PORT_FORBIDDEN,
    "net::ERR_INVALID_URL": MALFORMED_URL,
    "net::ERR_INVALID_REDIRECT": MALFORMED_URL,
    "net::ERR_EMPTY_RESPONSE": MALFORMED_RESPONSE,
}
_CODES_BY_BEGINNING = {
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
    """The code for an error of Chromium's."""
    if error in _CODES:
        return _CODES[error]
    for beginning, code in _CODES_BY_BEGINNING.items():
        if error.startswith(beginning):
            return code
    return WEBPAGE_LOAD_FAILED
