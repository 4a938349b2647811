"""The interface of a module: `worker.py` speaks with supervisor and executors, `llm/` and `web/`
implement this.

A module is `workers.<name>.module` with a function `open_module` of the form of `OpenModule`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol.module_frames import ModuleHello, ModuleRequest


class Session(Protocol):
    """One executor's connection; its requests come one after the other."""

    async def answer(self, request: ModuleRequest) -> Any:
        """Return the value for `Ok`. Raises `UserFault` or `FatalFault`.

        It is cancelled when the executor goes away.
        """

    async def close(self) -> None:
        """Release what the session holds: the connection has ended."""


class Module(Protocol):
    """A module that is ready for requests; many sessions go on at once, on one event loop."""

    @property
    def shortage(self) -> str | None:
        """Why all requests of some kind fail, and what the operator can do about it; else None."""

    async def open_session(self, hello: ModuleHello) -> Session:
        """Begin a session by a connection's first frame. Raises `FatalFault` to refuse it."""

    async def close(self) -> None:
        """Release everything; no session is open any more."""


OpenModule = Callable[[Mapping[str, Any], "ModuleOptions", EventLog], Awaitable[Module]]
"""Opens a module by its configuration, in which `${ENV[…]}` is filled in already.

It returns once the module answers requests. Raises `base.errors.BadRequest` naming the key at
fault, or `base.errors.RequestFailed` when it cannot start for another reason.
"""


class ModuleOptions(Protocol):
    """What a module is opened with besides the configuration."""

    @property
    def allow_empty_backends(self) -> bool:
        """Whether the module may start without a usable backend."""

    @property
    def tells_of_config(self) -> bool:
        """Whether to log remarks on the configuration: one worker of a pool does, for all."""

    @property
    def unset_variables(self) -> Mapping[str, str]:
        """By the path of a text in the configuration, such as `backends.openai.key`: a variable in
        it that is not set or empty.
        """
