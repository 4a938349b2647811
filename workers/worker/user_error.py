"""A module that answers every request with a user error: `user_error` of `POST /module/start`."""

from __future__ import annotations

from typing import NoReturn

from genvm_manager.protocol.module_frames import ModuleHello, ModuleRequest, UserFault

from .module import Module, Session

CAUSE = "MODULE_USER_ERROR"


class UserErrorModule:
    """Replaces a module that was opened only to check its configuration."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self.shortage = None

    async def open_session(self, _: ModuleHello) -> Session:
        """Begin a session in which every request fails."""
        return UserErrorSession()

    async def close(self) -> None:
        """Close the module."""
        await self._module.close()


class UserErrorSession:
    """A session in which every request fails."""

    async def answer(self, _: ModuleRequest) -> NoReturn:
        """Raise a user error."""
        raise UserFault([CAUSE])

    async def close(self) -> None:
        """Do nothing: the session holds nothing."""
