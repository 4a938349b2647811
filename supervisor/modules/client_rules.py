"""What a client's configuration may name: which variables, which hosts, where a module listens."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from genvm_manager.base.errors import BadRequest, ManagerError
from genvm_manager.base.network.host_port import HostPort, is_loopback, parse_host_port
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.supervisor.settings.settings import Settings

from .configuration import ConfigurationFiles
from .rules_configuration import resolved, variables_in

OPERATORS_KEYS = ("browser_path", "proxy")
_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """The server that a URL names."""

    scheme: str
    host: str
    port: int | None


class ClientRules:
    """What the settings and the operator's files allow clients."""

    def __init__(self, settings: Settings, files: ConfigurationFiles) -> None:
        self._settings = settings
        self._files = files

    async def variables(self) -> frozenset[str]:
        """Return the variables that a client's text may name."""
        in_files = [variables_in(await self._file(kind)) for kind in ModuleKind]
        manifest = self._settings.manifests.current.variables
        set_since = self._settings.environment.names_set
        return frozenset(self._settings.config.client_variables).union(
            manifest, set_since, *in_files
        )

    async def provider_origins(self) -> frozenset[Origin]:
        """Return the LLM providers that the operator's file names."""
        backends = (await self._file(ModuleKind.LLM)).get("backends")
        entries = backends.values() if isinstance(backends, dict) else ()
        hosts = (entry.get("host") for entry in entries if isinstance(entry, dict))
        environment = self._settings.environment
        origins = (
            origin(resolved(host, environment)[0]) for host in hosts if isinstance(host, str)
        )
        return frozenset(found for found in origins if found is not None)

    def _addresses(self) -> frozenset[HostPort]:
        return frozenset(map(parse_host_port, self._settings.config.client_bind_addresses))

    def check_address(self, name: str, address: tuple[str, int]) -> None:
        """Raise `BadRequest` unless a client may have a module listen there; `name` is the key."""
        place = HostPort(*address)
        if not is_loopback(place.host) and place not in self._addresses():
            raise BadRequest(
                f"config: {name}: clients may have a module listen on loopback; for any other "
                "address, have it added to client_bind_addresses in the service's settings"
            )

    async def provider_proxy(self) -> str | None:
        """Return the proxy by which the operator's file has providers asked, or None."""
        proxy = (await self._file(ModuleKind.LLM)).get("proxy")
        if not isinstance(proxy, str):
            return None
        return resolved(proxy, self._settings.environment)[0] or None

    async def check_operators_keys(self, kind: ModuleKind, given: Mapping[str, Any]) -> None:
        """Raise `BadRequest` when a client gives another value than the operator's file for a key
        that decides which program runs, or which proxy gets the keys of the file's backends.
        """
        for name in OPERATORS_KEYS:
            value = given.get(name)
            if value is not None and value != (await self._file(kind)).get(name):
                raise BadRequest(
                    f"config: {name}: clients may not set this; have it written into "
                    f"genvm-module-{kind}.yaml beside the service's settings"
                )

    async def _file(self, kind: ModuleKind) -> Mapping[str, Any]:
        """Return what the module's file says; nothing when it cannot be read."""
        with suppress(ManagerError):
            value = await self._files.read(kind)
            if isinstance(value, dict):
                return value
        return {}


def origin(url: str) -> Origin | None:
    """Return the server that a URL names, or None for what is no URL."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").removesuffix(".")
    return Origin(parts.scheme, host, port or _PORTS.get(parts.scheme)) if host else None
