"""All modules together: what runs need of them, and what is done to both at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from protocol.errors import ModulesNotRunning, Refusal, Unavailable
from protocol.ipc import ModuleKind, ModuleState, ModuleStatus
from protocol.log_lines import Level

from ..runtime.launcher import ModuleSockets
from ..runtime.sampler import Sample
from .module import NOT_RUNNING, Module


class Modules:
    """The LLM and the web module."""

    def __init__(self, make: Callable[[ModuleKind], Module]) -> None:
        self._modules = {kind: make(kind) for kind in ModuleKind}

    def __getitem__(self, kind: ModuleKind) -> Module:
        return self._modules[kind]

    def require(self) -> None:
        """Raises `ModulesNotRunning` unless a run that needs modules could have them, `Unavailable`
        when it soon can."""
        if any(module.state is ModuleState.STARTING for module in self._modules.values()):
            raise Unavailable("the modules are starting", 2, Refusal.MODULES)
        if any(module.state is not ModuleState.RUNNING for module in self._modules.values()):
            raise ModulesNotRunning(NOT_RUNNING)

    def connect(self) -> ModuleSockets:
        """A run's connections. Raises `ModulesNotRunning`, or `OSError` without descriptors."""
        with ExitStack() as undo:
            connections: dict[ModuleKind, socket.socket] = {}
            for kind, module in self._modules.items():
                connections[kind] = undo.enter_context(module.connect())
            undo.pop_all()
        return ModuleSockets(connections[ModuleKind.LLM], connections[ModuleKind.WEB])

    def set_level(self, level: Level) -> None:
        """Have all workers log at another level."""
        for module in self._modules.values():
            module.set_level(level)

    @property
    def pids(self) -> list[int]:
        """Of all workers."""
        return [pid for module in self._modules.values() for pid in module.pids]

    def observe(self, samples: Mapping[int, Sample]) -> None:
        """Take in a look at the workers, by pid."""
        for module in self._modules.values():
            module.observe(samples)

    def status(self) -> dict[ModuleKind, ModuleStatus]:
        return {kind: module.status() for kind, module in self._modules.items()}

    async def stop(self) -> None:
        """End them all now: the runs that they served have ended."""
        await asyncio.gather(*(module.stop(hurried=True) for module in self._modules.values()))
