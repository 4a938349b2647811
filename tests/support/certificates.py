"""A certificate for some names, which only those trust who are told to."""

from __future__ import annotations

import base64
import hashlib
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """`file` holds the certificate alone, as SSL_CERT_FILE takes it; `server` serves with it."""

    file: Path
    server: ssl.SSLContext
    key_hash: str
    """Base64 of its public key's SHA-256, by which Chromium can be told to trust it."""


def make_certificate(folder: Path, *names: str) -> Certificate:
    """Make a new certificate and its key, in two files of the folder."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    _openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-days", "2", "-subj", f"/CN={names[0]}",
        "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names),
        "-out", str(certificate), "-keyout", str(key),
    )  # fmt: skip
    public = _openssl("pkey", "-in", str(key), "-pubout", "-outform", "DER")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return Certificate(
        certificate, server, base64.b64encode(hashlib.sha256(public).digest()).decode()
    )


def _openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout
