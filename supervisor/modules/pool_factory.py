"""Making the pool of workers of a module, from its configuration."""

from __future__ import annotations

import re
from collections.abc import Callable
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

_NAMED = re.compile(r"(?:config: )?+(\w+)(?=[.:])")
"""The key that an error is about: messages on configurations begin with it."""


class PoolFactory:
    """Starts a module's pool by what a client has given and what the module's file says."""

    def __init__(
        self,
        worker_defaults: WorkerDefaults,
        files: ConfigurationFiles,
        rules: ClientRules,
        log: EventLog,
    ) -> None:
        self._defaults = worker_defaults
        self._files = files
        self._rules = rules
        self._log = log
        self._files_in_use: dict[ModuleKind, dict[str, Any]] = {}

    async def start(
        self, order: StartModule, failed: Callable[[Pool, str], None], before: Pool | None
    ) -> Pool:
        """Return a pool that answers requests; `failed` gets the reason if it is given up later.

        The configuration of the order replaces keys of the module's file, unless it stands alone.
        The pool goes on with the listener of the one `before` it when that is at its address.
        Raises `BadRequest` naming the key of a configuration that was given, and `RequestFailed`
        for all else; nothing is left then.
        """
        kind, given = order.kind, _decoded(order.config)
        file = {} if stands_alone(kind, given) else await self._files.read(kind)
        try:
            config = await self._config(kind, given, file)
            pool = await self._start(order, config, failed, before)
        except BadRequest as error:
            raise self._at_fault(kind, given, error) from None
        self._files_in_use[kind] = file
        return pool

    async def is_outdated(self, order: StartModule) -> bool:
        """Return whether the pool of an order has all its configuration of a file that has changed.

        Raises `RequestFailed` naming a file that cannot be read.
        """
        if _decoded(order.config):
            return False
        return await self._files.read(order.kind) != self._files_in_use.get(order.kind)

    async def _start(
        self,
        order: StartModule,
        config: ModuleConfig,
        failed: Callable[[Pool, str], None],
        before: Pool | None,
    ) -> Pool:
        inherited = before.listener if before is not None else None
        listener = await _listener(config, inherited)
        pool = Pool(self._order(order, config, listener), self._log, failed)
        try:
            await pool.start()
        except BaseException:
            if listener is not None and listener is not inherited:
                listener.close()
            raise
        return pool

    async def _config(
        self, kind: ModuleKind, given: dict[str, Any], file: dict[str, Any]
    ) -> ModuleConfig:
        await self._rules.check_operators_keys(kind, given)
        allowed = await self._rules.variables() if given else None
        config = module_config(given, self._defaults.environment, file, allowed)
        named = next((name for name in ("bind_address", "host", "port") if name in given), None)
        if named is not None and config.address is not None:
            self._rules.check_address(named, config.address)
        return config

    def _at_fault(
        self, kind: ModuleKind, given: dict[str, Any], error: BadRequest
    ) -> BadRequest | RequestFailed:
        """Return the error itself when it is about what the client has given; an error in the
        module's file is no `BadRequest`.
        """
        named = _NAMED.match(error.message)
        is_given = named[1] in replaced_keys(given) if named else bool(given)
        if is_given or stands_alone(kind, given):
            return error
        return RequestFailed(f"{self._files.name(kind)}: {error.message}")

    def _order(
        self, order: StartModule, config: ModuleConfig, listener: Listener | None
    ) -> PoolOrder:
        return PoolOrder(
            identity=self._defaults.identity(order.kind),
            module=f"genvm_manager.workers.{order.kind}.module",
            config=config.settings,
            workers=config.workers,
            allow_empty_backends=order.allow_empty_backends or config.awaits_keys,
            user_error=order.user_error,
            logging=self._defaults.logging(config.secrets),
            listener=listener,
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
