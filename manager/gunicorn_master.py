"""gunicorn's master as this service needs it: follows the log level without a thread."""

from __future__ import annotations

from typing import Any

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

from .log_level import SharedLevel, put_in_force


class Master(Arbiter):  # type: ignore[misc]
    """Forks workers, so it has no thread: a child would find its locks as they happened to be held.

    It is told the level by its workers, who follow the supervisor, through `shared`.
    """

    def __init__(self, app: Any, shared: SharedLevel) -> None:
        super().__init__(app)
        self._shared = shared
        self._level = shared.level

    def murder_workers(self) -> None:
        """At each turn of the main loop, about once a second."""
        super().murder_workers()
        level = self._shared.level
        if level != self._level:
            self._level = level
            put_in_force(level)
