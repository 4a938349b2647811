"""gunicorn's own messages, in the form of all others."""

from __future__ import annotations

import logging
import sys
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger  # type: ignore[import-untyped]


class JoinedLogger(GunicornLogger):  # type: ignore[misc]
    """gunicorn's messages go where all others go; requests that went well are not logged."""

    def setup(self, cfg: Any) -> None:
        """Have a logger below our own take the messages, so that it has our level."""
        super().setup(cfg)
        self.error_log = logging.getLogger("genvm_manager.gunicorn")

    def info(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write for debugging what gunicorn thinks worth an info line; to nobody else it is."""
        self.debug(msg, *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write an error with its traceback, but not for a client that was too slow."""
        if isinstance(sys.exc_info()[1], TimeoutError):
            self.debug("a client was too slow; its connection is closed")
        else:
            super().exception(msg, *args, **kwargs)
