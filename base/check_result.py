"""What an examination of the installation found: each part examines itself and tells it so."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Finding(Struct, frozen=True):
    """One point. `do` is the next step where it is not ok."""

    topic: str
    verdict: Verdict
    says: str
    do: str | None = None


def ok(topic: str, says: str) -> Finding:
    return Finding(topic, Verdict.OK, says)


def warning(topic: str, says: str, do: str) -> Finding:
    """It works, but not as well as it might, or not for long."""
    return Finding(topic, Verdict.WARNING, says, do)


def failure(topic: str, says: str, do: str) -> Finding:
    """Something does not work."""
    return Finding(topic, Verdict.FAILURE, says, do)


def encode_findings(findings: list[Finding]) -> bytes:
    """As one program tells another."""
    return msgspec.json.encode(findings)


def decode_findings(text: bytes) -> list[Finding]:
    """What was given to `encode_findings`. Raises `msgspec.DecodeError`."""
    return msgspec.json.decode(text, type=list[Finding])
