"""What a check of the installation found: each part checks itself and reports so."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct


class CheckStatus(StrEnum):
    """How well a point is, from good to bad."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class CheckResult(Struct, frozen=True):
    """One point that was checked. `do` is the next step where the status is not ok.

    In JSON the status is called `verdict`, as it always was.
    """

    topic: str
    status: CheckStatus = msgspec.field(name="verdict")
    says: str
    do: str | None = None


def ok(topic: str, says: str) -> CheckResult:
    """Return the result for a point that works."""
    return CheckResult(topic, CheckStatus.OK, says)


def warning(topic: str, says: str, do: str) -> CheckResult:
    """Return the result for a point that works, but not as well as it might, or not for long."""
    return CheckResult(topic, CheckStatus.WARNING, says, do)


def failure(topic: str, says: str, do: str) -> CheckResult:
    """Return the result for a point that does not work."""
    return CheckResult(topic, CheckStatus.FAILURE, says, do)


def encode_results(results: list[CheckResult]) -> bytes:
    """Return the results as one program of ours hands them to another."""
    return msgspec.json.encode(results)


def decode_results(text: bytes) -> list[CheckResult]:
    """Return the results in the output of `encode_results`. Raises `msgspec.DecodeError`."""
    return msgspec.json.decode(text, type=list[CheckResult])
