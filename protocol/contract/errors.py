"""Why a contract's code cannot be started."""

from __future__ import annotations


class InvalidContract(Exception):
    """Code that cannot be started. `code` is the VM error; the message says more, for a log."""

    def __init__(self, reason: str, detail: str = "", general: str = "invalid_contract") -> None:
        super().__init__(reason)
        self.code = f"{general} {detail}" if detail else general
