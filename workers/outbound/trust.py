"""The certificate authorities that outgoing connections trust."""

from __future__ import annotations

import ssl

import certifi


def usual_trust() -> ssl.SSLContext:
    """Return a context that trusts certifi's authorities, the machine's and SSL_CERT_FILE's."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    # Python sets it from SSLKEYLOGFILE; a reader of that file could read the keys of providers.
    context.keylog_filename = None  # type: ignore[assignment]
    return context
