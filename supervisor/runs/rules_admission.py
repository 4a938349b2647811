"""Which runs are admitted: the executor's command line is a trust boundary.

Source: docs/spec/03-run-request.md#the-request.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.network.run_host import parse_run_host
from genvm_manager.protocol.ipc.commands import StartRun
from genvm_manager.protocol.run_request import MAX_DEADLINE, MAX_TOKEN, check_permissions

DEBUG_OPTION = "--debug-mode"
SAFE_LEVELS = frozenset({"disabled", "safe", "safe-unbounded"})
UNSAFE_LEVELS = frozenset({"unsafe", "unsafe-tracing"})


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """What the configuration allows in a run request."""

    allowed_extra_args: frozenset[str]
    allow_unsafe_debug: bool


def admit(command: StartRun, policy: AdmissionPolicy) -> None:
    """Raise `BadRequest`, which names the field, for a run that must not reach an executor."""
    _check_extra_args(command.extra_args, policy)
    if command.is_unsafe and not policy.allow_unsafe_debug:
        raise BadRequest("debug_mode: unsafe modes are off; allow_unsafe_debug in the config")
    if not 0 < command.deadline <= MAX_DEADLINE:
        raise BadRequest(f"deadline: expected more than 0 and at most {MAX_DEADLINE:.0f} seconds")
    if not math.isfinite(command.timestamp):
        raise BadRequest("timestamp: expected a point in time")
    try:
        parse_run_host(command.host)
    except ValueError as error:
        raise BadRequest(f"host: {error}") from None
    try:
        check_permissions(command.permissions)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    if command.token is not None and not 0 < len(command.token) <= MAX_TOKEN:
        raise BadRequest(f"host_genvm_id: expected 1 to {MAX_TOKEN} characters")


def _check_extra_args(extra_args: list[str], policy: AdmissionPolicy) -> None:
    previous = ""
    for argument in extra_args:
        if previous == DEBUG_OPTION and argument in SAFE_LEVELS | UNSAFE_LEVELS:
            _check_level(argument, policy)
        elif argument not in policy.allowed_extra_args:
            allowed = ", ".join(sorted(policy.allowed_extra_args)) or "nothing"
            raise BadRequest(
                f"extra_args: {argument[:60]!r} is not allowed; "
                f"allowed_extra_args in the config lists {allowed}"
            )
        previous = argument


def _check_level(level: str, policy: AdmissionPolicy) -> None:
    if level in UNSAFE_LEVELS and not policy.allow_unsafe_debug:
        raise BadRequest(f"extra_args: {DEBUG_OPTION} {level} needs allow_unsafe_debug")
