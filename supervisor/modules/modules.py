"""Both modules: what runs need of them, and what is done to both at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from genvm_manager.base.errors import BadRequest, ModulesNotRunning, Refusal, Unavailable
from genvm_manager.base.network.local_addresses import leads_here
from genvm_manager.base.network.run_host import parse_run_host
from genvm_manager.protocol.ipc.modules import ModuleKind, ModuleState, ModuleStatus
from genvm_manager.supervisor.runs.sampler import Sample

from .module import Module, not_running


class Modules:
    """The LLM and the web module."""

    def __init__(self, make: Callable[[ModuleKind], Module]) -> None:
        self._modules = {kind: make(kind) for kind in ModuleKind}

    def __getitem__(self, kind: ModuleKind) -> Module:
        return self._modules[kind]

    def require(self, wanted: Sequence[ModuleKind]) -> None:
        """Raise `ModulesNotRunning` unless all modules run that a run needs, and `Unavailable`
        when one of them is starting.
        """
        states = {kind: self._modules[kind].state for kind in wanted}
        absent = {kind: state for kind, state in states.items() if state is not ModuleState.RUNNING}
        if ModuleState.STARTING in absent.values():
            raise Unavailable(not_running(absent), 2, Refusal.MODULES)
        if absent:
            raise ModulesNotRunning(not_running(absent))

    def connect(self, wanted: Sequence[ModuleKind]) -> dict[ModuleKind, socket.socket]:
        """Return a run's connections to the modules that it needs, which the caller has to close.

        Raises `ModulesNotRunning`, or `OSError` when there are no descriptors.
        """
        with ExitStack() as undo:
            connections = {
                kind: undo.enter_context(self._modules[kind].connect()) for kind in wanted
            }
            undo.pop_all()
        return connections

    async def require_other(self, host: str) -> None:
        """Raise `BadRequest` when a run's host is an address where one of our modules listens."""
        place = parse_run_host(host)
        ports = {port for module in self._modules.values() for port in module.ports}
        if isinstance(place, str) or place.port not in ports:
            return
        try:
            is_ours = await asyncio.to_thread(leads_here, place.host, place.port)
        except OSError as error:
            reason = error.strerror or error
            raise BadRequest(f"host: {place.host} cannot be looked up: {reason}") from None
        if is_ours:
            raise BadRequest(f"host: {host!r} is a module of this service; name the node's host")

    @property
    def pids(self) -> list[int]:
        """The pids of all workers of both modules."""
        return [pid for module in self._modules.values() for pid in module.pids]

    def observe(self, samples: Mapping[int, Sample]) -> None:
        """Take over the latest samples of the workers, by pid."""
        for module in self._modules.values():
            module.observe(samples)

    def status(self) -> dict[ModuleKind, ModuleStatus]:
        """Return the states of both modules."""
        return {kind: module.status() for kind, module in self._modules.items()}

    async def stop(self) -> None:
        """Stop both modules without draining: the runs that they served have ended."""
        await asyncio.gather(*(module.stop(hurried=True) for module in self._modules.values()))
