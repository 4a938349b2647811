"""The one tree of errors that cross a process boundary; HTTP codes are chosen in `manager`.

Each class has a `code`, the word by which it travels, and a message that names the field or thing
at fault and, where there is one, the next step.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class ManagerError(Exception):
    """The root. `code` names the class on the wire."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(ManagerError):
    """The caller is at fault: a missing or ill-typed field, a value out of range."""

    code = "bad_request"


class RunNotFound(ManagerError):
    """No run with this id is known, or it was pruned."""

    code = "run_not_found"


class RequestFailed(ManagerError):
    """The request was understood and could not be done."""

    code = "request_failed"


class ModulesNotRunning(RequestFailed):
    """A run needs the modules and one is stopped."""

    code = "modules_not_running"


class ModuleAlreadyRunning(RequestFailed):
    """A module is to start that runs, or is about to; clients look for these very words."""

    code = "module_already_running"

    def __init__(self, message: str = "module_already_running") -> None:
        super().__init__(message)


class ShutdownTimeout(RequestFailed):
    """A run could not be ended in time."""

    code = "shutdown_timeout"


class Refusal(StrEnum):
    """Why a run is not taken, as the supervisor counts it."""

    QUEUE_FULL = "queue_full"
    QUEUE_BYTES = "queue_bytes"
    RATE = "pace"
    """The word is a label of a metric, which keeps it."""

    SHUTTING_DOWN = "shutting_down"
    STORE = "store"
    MODULES = "modules"
    OTHER = "other"


class Unavailable(ManagerError):
    """Not now: no supervisor, a full queue, a shutdown. `retry_after` is in seconds.

    `reason` stays where the error was made.
    """

    code = "unavailable"

    def __init__(self, message: str, retry_after: int = 1, reason: Refusal = Refusal.OTHER) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reason = reason


def _tree(root: type[ManagerError]) -> dict[str, type[ManagerError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


_BY_CODE = _tree(ManagerError)


def from_wire(code: str, message: str) -> ManagerError:
    """Return the error that was sent as `code` and `message`; for an unknown code, the root."""
    return _BY_CODE.get(code, ManagerError)(message)
