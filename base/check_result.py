"""What an examination of the installation found: each part examines itself and tells it so."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class CheckResult(Struct, frozen=True):
    """One point. `do` is the next step where it is not ok."""

    topic: str
    verdict: Verdict
    says: str
    do: str | None = None


def ok(topic: str, says: str) -> CheckResult:
    return CheckResult(topic, Verdict.OK, says)


def warning(topic: str, says: str, do: str) -> CheckResult:
    """It works, but not as well as it might, or not for long."""
    return CheckResult(topic, Verdict.WARNING, says, do)


def failure(topic: str, says: str, do: str) -> CheckResult:
    """Something does not work."""
    return CheckResult(topic, Verdict.FAILURE, says, do)


def encode_findings(findings: list[CheckResult]) -> bytes:
    """As one program tells another."""
    return msgspec.json.encode(findings)


def decode_findings(text: bytes) -> list[CheckResult]:
    """What was given to `encode_findings`. Raises `msgspec.DecodeError`."""
    return msgspec.json.decode(text, type=list[CheckResult])
