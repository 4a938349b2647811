"""Whose certificates are trusted on the way out."""

from __future__ import annotations

import ssl

import certifi


def usual_trust() -> ssl.SSLContext:
    """The authorities that browsers trust, this machine's own, and those in SSL_CERT_FILE."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    # Python has taken it from SSLKEYLOGFILE: whoever reads that file reads the keys of providers.
    context.keylog_filename = None  # type: ignore[assignment]
    return context
