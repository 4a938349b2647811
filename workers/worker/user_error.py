"""A module that answers every request with a user error: `user_error` of `POST /module/start`."""

from __future__ import annotations

from typing import NoReturn

from genvm_manager.protocol.module_frames import ModuleHello, ModuleRequest, UserFault

from .module import Module, Session

CAUSE = "MODULE_USER_ERROR"


class UserErrorModule:
    """Stands before a module that was opened to see that its configuration is good."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self.shortage = None

    async def open_session(self, _: ModuleHello) -> Session:
        return UserErrorSession()

    async def close(self) -> None:
        await self._module.close()


class UserErrorSession:
    async def answer(self, _: ModuleRequest) -> NoReturn:
        raise UserFault([CAUSE])

    async def close(self) -> None:
        """Nothing is held."""
