"""One pool of a module with the address where it listens, and how such a pair is made."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from genvm_manager.base.errors import BadRequest, RequestFailed
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.validation import NOT_DECODED
from genvm_manager.protocol.ipc.commands import StartModule
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.workers.pool import Address, Listener, Pool, PoolOrder

from .client_rules import ClientRules
from .configuration import ConfigurationFiles
from .rules_configuration import ModuleConfig, module_config, replaced_keys, stands_alone
from .worker_defaults import WorkerDefaults

STOP_TIMEOUT = 3.0
"""Seconds for each rung of the ladder, once nobody is served any more."""

_NAMED = re.compile(r"(?:config: )?+(\w+)(?=[.:])")
"""The key that an error is about, as those of configurations begin."""


class Instance:
    """A pool, and its listening sockets, which it may share with the one before or after it."""

    def __init__(
        self,
        order: PoolOrder,
        listener: Listener | None,
        log: EventLog,
        failed: Callable[[Instance, str], None],
    ) -> None:
        self.listener = listener
        self.pool = Pool(order, log, partial(failed, self))

    async def part(self, timeout: float, heir: Instance | None = None) -> None:
        """Let its connections end for `timeout` seconds, then end it. An heir at the same address
        keeps the listening sockets."""
        if self.listener is not None and (heir is None or heir.listener is not self.listener):
            self.listener.close()
        await self.pool.drain(timeout)
        await self.pool.stop(STOP_TIMEOUT)


class InstanceMaker:
    """Makes instances of configurations, and has them answer."""

    def __init__(
        self,
        worker_defaults: WorkerDefaults,
        files: ConfigurationFiles,
        rules: ClientRules,
        log: EventLog,
    ) -> None:
        self._surroundings = worker_defaults
        self._files = files
        self._rules = rules
        self._log = log

    async def open(
        self, order: StartModule, failed: Callable[[Instance, str], None], before: Instance | None
    ) -> Instance:
        """An instance that answers requests; `failed` is told why when it is given up later.

        What the order gives of a configuration is laid over the module's file, unless it stands
        alone. The instance takes over the listening sockets of the one `before` it when they are
        at its address. Raises `BadRequest` naming the key of a configuration that was given, and
        `RequestFailed` for all else; nothing is left then.
        """
        given = _decoded(order.config)
        try:
            return await self._opened(order, await self._config(order.kind, given), failed, before)
        except BadRequest as error:
            raise self._at_fault(order.kind, given, error) from None

    async def _opened(
        self,
        order: StartModule,
        config: ModuleConfig,
        failed: Callable[[Instance, str], None],
        before: Instance | None,
    ) -> Instance:
        inherited = before.listener if before is not None else None
        listener = await _listener(config, inherited)
        instance = Instance(self._order(order, config, listener), listener, self._log, failed)
        try:
            await instance.pool.start()
        except BaseException:
            if listener is not None and listener is not inherited:
                listener.close()
            raise
        return instance

    async def _config(self, kind: ModuleKind, given: dict[str, Any]) -> ModuleConfig:
        default = {} if stands_alone(kind, given) else await self._files.read(kind)
        await self._rules.check_operators_keys(kind, given)
        allowed = await self._rules.variables() if given else None
        config = module_config(given, self._surroundings.environment, default, allowed)
        named = next((name for name in ("bind_address", "host", "port") if name in given), None)
        if named is not None and config.address is not None:
            self._rules.check_address(named, config.address)
        return config

    def _at_fault(
        self, kind: ModuleKind, given: dict[str, Any], error: BadRequest
    ) -> BadRequest | RequestFailed:
        """What is wrong with the module's file is nothing that the client has sent."""
        named = _NAMED.match(error.message)
        is_given = named[1] in replaced_keys(given) if named else bool(given)
        if is_given or stands_alone(kind, given):
            return error
        return RequestFailed(f"{self._files.name(kind)}: {error.message}")

    def _order(
        self, order: StartModule, config: ModuleConfig, listener: Listener | None
    ) -> PoolOrder:
        return PoolOrder(
            identity=self._surroundings.identity(order.kind),
            module=f"genvm_manager.workers.{order.kind}.module",
            config=config.settings,
            workers=config.workers,
            allow_empty_backends=order.allow_empty_backends or config.awaits_keys,
            user_error=order.user_error,
            logging=self._surroundings.logging(config.secrets),
            listening=tuple(listener.sockets) if listener is not None else (),
            unset_variables=config.unset_variables,
        )


async def _listener(config: ModuleConfig, inherited: Listener | None) -> Listener | None:
    if config.address is None:
        return None
    address = Address(*config.address)
    if inherited is not None and inherited.address == address:
        return inherited
    try:
        return await Listener.bind(address)
    except RequestFailed as error:
        raise RequestFailed(config.hide(error.message)) from None


def _decoded(config: bytes | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        given = msgspec.json.decode(config)
    except NOT_DECODED as error:
        raise BadRequest(f"config: not JSON: {error}") from None
    if not isinstance(given, dict):
        raise BadRequest(f"config: expected a map, got {type(given).__name__}")
    return given
