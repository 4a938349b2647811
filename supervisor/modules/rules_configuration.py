"""The part of a module's configuration that the supervisor needs; the rest is the module's own.

Source: docs/spec/05-modules.md.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.network.host_port import MAX_PORT, HostPort, is_host, parse_host_port
from genvm_manager.base.text.numbers import whole_number
from genvm_manager.base.text.secret import without_secrets
from genvm_manager.protocol.ipc.modules import ModuleKind

DEFAULT_WORKERS = 2
MAX_WORKERS = 64
MAX_SIZE = 4 << 20
"""Bytes of the longest configuration, as JSON."""

_MAX_DEPTH = 32
MAX_PLACE = 200
MAX_SHOWN = 60
"""Characters of a place and a variable's name that an error shows."""

_VARIABLE = re.compile(r"\$\{ENV\[([^\]}]*)\]\}")
ALL_ADDRESSES = ""
"""The host that stands for all addresses of this machine."""

_HIDDEN = "key"
"""Values of this key, at any depth, are secrets."""

_ADDRESS = frozenset({"bind_address", "host", "port"})
"""Keys that are replaced together: all of them say where to listen."""


@dataclass(frozen=True, slots=True)
class ModuleConfig:
    """A module's configuration.

    `settings` is all of it as JSON, with variables filled in; `secrets` are texts in it that no
    line of a log may show. `address` is the host and port where the module listens as well.
    `unset_variables` holds, by the path of a text, the first variable there that is not set or
    empty. `awaits_keys`: its backends are those of the default, whose keys may be set later.
    """

    settings: bytes
    workers: int
    address: tuple[str, int] | None
    secrets: tuple[str, ...]
    unset_variables: dict[str, str]
    awaits_keys: bool

    def __repr__(self) -> str:
        """Show no settings: there are keys in them."""
        return f"<ModuleConfig of {self.workers} workers>"

    def hide(self, text: str) -> str:
        """Return a text about this configuration without its secrets."""
        return without_secrets(text, self.secrets)


def stands_alone(kind: ModuleKind, given: Mapping[str, Any]) -> bool:
    """Return whether a configuration that a client gave is used without the module's file.

    An LLM module's is when it names backends; any other one replaces keys of the file.
    """
    return kind is ModuleKind.LLM and given.get("backends") is not None


def replaced_keys(given: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys of the module's file that `given` replaces."""
    return frozenset(given) | (_ADDRESS if not _ADDRESS.isdisjoint(given) else frozenset())


def module_config(
    given: Any,
    environment: Mapping[str, str],
    default: Mapping[str, Any] | None = None,
    allowed: Collection[str] | None = None,
) -> ModuleConfig:
    """Return a module's configuration: `default` with the keys that `given` replaces.

    `${ENV[NAME]}` in any text is replaced by the variable, or by nothing if there is none. `given`
    may name only the `allowed` variables; None: any. Raises `BadRequest` naming the key; it shows
    values as they were given, with no variable filled in.
    """
    if not isinstance(given, dict):
        raise BadRequest(f"config: expected a map, got {type(given).__name__}")
    replaced = replaced_keys(given)
    kept = {name: value for name, value in (default or {}).items() if name not in replaced}
    written = {**kept, **given}
    filling = _Filling(environment)
    filled = {**filling.fill(kept, "", 0), **filling.within(allowed).fill(given, "", 0)}
    settings = msgspec.json.encode(filled)
    if len(settings) > MAX_SIZE:
        raise BadRequest(f"config: longer than {MAX_SIZE} bytes")
    pool_keys = _PoolKeys(filled, written)
    return ModuleConfig(
        settings=settings,
        workers=pool_keys.workers(),
        address=pool_keys.address(),
        secrets=tuple(sorted(filling.secrets)),
        unset_variables=filling.unset,
        awaits_keys=bool(kept.get("backends")),
    )


def variables_in(value: Any) -> frozenset[str]:
    """Return the variables that the texts of a configuration name."""
    if isinstance(value, str):
        return frozenset(_VARIABLE.findall(value))
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return frozenset[str]().union(*map(variables_in, parts))


def check_variables(text: str, place: str, allowed: Collection[str]) -> None:
    """Raise `BadRequest` for a variable in a client's text that is not `allowed`.

    `place` names the text. The error does not tell whether the variable is set.
    """
    for name in _VARIABLE.findall(text):
        if name not in allowed:
            raise BadRequest(
                f"{place[:MAX_PLACE]}: the variable {name[:MAX_SHOWN]!r} is not for clients; "
                "set it by POST /env, or have it listed in client_variables in the settings"
            )


def resolved(text: str, environment: Mapping[str, str]) -> tuple[str, str | None]:
    """Return a text with its variables filled in, and the name of the first that is not set."""
    missing = [name for name in _VARIABLE.findall(text) if name not in environment]
    filled = _VARIABLE.sub(lambda found: environment.get(found[1], ""), text)
    return filled, missing[0] if missing else None


@dataclass(slots=True)
class _Filling:
    """Fills variables in and collects secrets and unset ones; the size of the result is bounded."""

    environment: Mapping[str, str]
    allowed: Collection[str] | None = None
    secrets: set[str] = field(default_factory=set)
    unset: dict[str, str] = field(default_factory=dict)
    _added: int = 0

    def within(self, allowed: Collection[str] | None) -> _Filling:
        """Allow only those variables from now on, and return this."""
        self.allowed = allowed
        return self

    def fill(self, value: Any, path: str, depth: int) -> Any:
        """Return `value` with its variables filled in; `path` is its place in the configuration."""
        if depth > _MAX_DEPTH:
            raise BadRequest(f"config: {_top(path)}: nests deeper than {_MAX_DEPTH}")
        if isinstance(value, str):
            return self._fill_text(value, path)
        if isinstance(value, list):
            return [self.fill(each, path, depth + 1) for each in value]
        if isinstance(value, dict):
            filled = {
                str(name): self.fill(each, f"{path}.{name}" if path else str(name), depth + 1)
                for name, each in value.items()
            }
            if isinstance(key := filled.get(_HIDDEN), str) and key:
                self.secrets.add(key)
            return filled
        return value

    def _fill_text(self, text: str, path: str) -> str:
        if self.allowed is not None:
            check_variables(text, f"config: {path}", self.allowed)
        for name in _VARIABLE.findall(text):
            if not (value := self.environment.get(name, "")):
                self.unset.setdefault(path, name)
                continue
            self.secrets.add(value)
            self._added += len(value)
            if self._added > MAX_SIZE:
                raise BadRequest(f"config: longer than {MAX_SIZE} bytes with its variables")
        return resolved(text, self.environment)[0]


def _top(path: str) -> str:
    """Return the key of the configuration in which a place is."""
    return path.partition(".")[0][:MAX_PLACE]


class _PoolKeys:
    """The keys that the pool needs, with variables filled in; errors show them as `written`."""

    def __init__(self, filled: Mapping[str, Any], written: Mapping[str, Any]) -> None:
        self._filled = filled
        self._written = written

    def workers(self) -> int:
        """Return the number of workers. Raises `BadRequest`."""
        given = self._filled.get("workers")
        if given is None:
            return DEFAULT_WORKERS
        if type(given) is not int or not 1 <= given <= MAX_WORKERS:
            raise self._wrong("workers", f"expected 1 to {MAX_WORKERS}")
        return given

    def address(self) -> tuple[str, int] | None:
        """Return `bind_address`, or `host` and `port` where it is absent. Raises `BadRequest`.

        Source: docs/spec/05-modules.md#connections.
        """
        bind, host, port = (self._filled.get(name) for name in ("bind_address", "host", "port"))
        if bind is not None:
            return self._bind_address(bind)
        if host is None and port is None:
            return None
        if not isinstance(host, str):
            raise self._wrong("host", "expected str beside port")
        if host != ALL_ADDRESSES and not is_host(host):
            raise self._wrong("host", "expected a name or an IP address")
        return host, self._port("port", port)

    def _bind_address(self, given: Any) -> tuple[str, int]:
        text = given if isinstance(given, str) else ""
        try:
            if text.startswith(":"):
                place = HostPort(ALL_ADDRESSES, whole_number(text[1:], MAX_PORT))
            else:
                place = parse_host_port(text)
        except ValueError:
            raise self._wrong("bind_address", "expected HOST:PORT") from None
        return place.host, self._port("bind_address", place.port)

    def _port(self, name: str, given: Any) -> int:
        if type(given) is not int or not 0 < given < 1 << 16:
            raise self._wrong(name, "expected a port from 1 to 65535")
        return given

    def _wrong(self, name: str, expected: str) -> BadRequest:
        given = self._written.get(name)
        shown = "nothing" if given is None else repr(given)[:40]
        return BadRequest(f"config: {name}: {expected}, got {shown}")
