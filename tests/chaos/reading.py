"""A terminal status as `GET /genvm/<id>` returned it."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .recordings import ResultDigest

_HEAD = 40


@dataclass(frozen=True, slots=True)
class Reading:
    """The parts of a terminal status that the oracle keeps.

    `digest` is over the whole status. `ending`: `code N`, `signal N`, `unseen` (exited, but how is
    not known), or the cause. `head`: the first line of stdout, if none of it was dropped.
    `wall` is in seconds, `finished_at` in seconds since 1970.
    """

    digest: str
    ending: str
    major: int | None
    result: ResultDigest | None
    head: str | None
    wall: float | None
    finished_at: float

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> Reading:
        """Return the reading of a terminal status."""
        is_cut = status["stdout_dropped_bytes"] > 0
        wall_ms = status["wall_ms"]
        return cls(
            digest=hashlib.sha256(json.dumps(status, sort_keys=True).encode()).hexdigest(),
            ending=_ending(status),
            major=status["version_major"],
            result=_result_digest(status["consumed_result"]),
            head=None if is_cut else status["stdout"][:_HEAD].partition("\n")[0],
            wall=None if wall_ms is None else wall_ms / 1000,
            finished_at=status["finished_at"] / 1000,
        )


def _ending(status: Mapping[str, Any]) -> str:
    cause: str = status["cause"]
    if cause != "exited":
        return cause
    if status["signal"] is not None:
        return f"signal {status['signal']}"
    return "unseen" if status["exit_code"] is None else f"code {status['exit_code']}"


def _result_digest(encoded: str | None) -> ResultDigest | None:
    if encoded is None:
        return None
    result = base64.b64decode(encoded)
    return ResultDigest(len(result), zlib.crc32(result))
