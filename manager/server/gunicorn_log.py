"""gunicorn's own messages, in the form of all others."""

from __future__ import annotations

import sys
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger  # type: ignore[import-untyped]

from genvm_manager.base.logging.setup import OURS, level_gunicorn


class JoinedLogger(GunicornLogger):  # type: ignore[misc]
    """gunicorn's messages go where all others go; requests that went well are not logged."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.propagate = True
        level_gunicorn(OURS.level)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """An error with its traceback; a client that was too slow is none of ours."""
        if isinstance(sys.exc_info()[1], TimeoutError):
            self.debug("a client was too slow; its connection is closed")
        else:
            super().exception(msg, *args, **kwargs)
