"""The configuration of the LLM module (docs/spec/05-modules.md#llm-configuration)."""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.network.host_port import is_host
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.base.text.secret import Secret
from genvm_manager.base.text.yaml_text import load_yaml
from genvm_manager.base.validation import from_value
from genvm_manager.protocol.llm_check import Provider

from .templates import Template, TemplateKind

PROVIDERS: tuple[str, ...] = get_args(Provider)

DEFAULT_FILE = "genvm-module-llm.yaml"
"""The default configuration, a file of this package."""

MAX_TIMEOUT = 3600.0
"""Seconds; the most for the timeout of a prompt or an attempt."""

KEYLESS = ("ollama",)
"""Providers that need no key."""

_EMPTY_KEY = "its key is empty"
_KEYS = frozenset(["backends", "prompt_templates", "proxy", "timeout"])
_POOL_KEYS = frozenset(["bind_address", "host", "port", "workers"])
"""Keys that are read by the pool and its listener."""

T = TypeVar("T")


class Model(Struct, frozen=True):
    """A model of a backend. A prompt goes to it only if it supports what the prompt needs."""

    enabled: bool = True
    supports_json: bool = False
    supports_image: bool = False
    use_max_completion_tokens: bool = False
    """Whether `max_tokens` is sent as `max_completion_tokens`, as newer OpenAI models need it."""

    timeout: str = "60s"
    """The duration of one attempt."""

    max_tokens: Annotated[int, Meta(ge=1, lt=1 << 31)] = 4096
    """Tokens of the longest answer, including a model's reasoning before it."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    """None: the provider's own default."""

    meta: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _check_timeout(self.timeout)
        priority(self.meta)

    @property
    def seconds(self) -> float:
        """The timeout of one attempt, in seconds."""
        return parse_duration(self.timeout)


class Backend(Struct, frozen=True):
    """One account at one provider, with its models by name."""

    host: str
    provider: str
    models: dict[str, Model]
    enabled: bool = True
    key: Secret = Secret("")
    meta: dict[str, Any] = {}

    def __post_init__(self) -> None:
        check_host(self.host)
        check_provider(self.provider)
        check_key(self.key)
        priority(self.meta)


class Templates(Struct, frozen=True):
    """The prompt templates, one of each kind."""

    eq_comparative: Template
    eq_non_comparative_leader: Template
    eq_non_comparative_validator: Template

    def of(self, kind: TemplateKind) -> Template:
        """Return the template of a kind."""
        template = getattr(self, kind.value)
        assert isinstance(template, Template)
        return template


class LlmConfig(Struct, frozen=True):
    """The configuration of the module.

    `backends` has only the usable backends, and of each only the enabled models.
    """

    backends: dict[str, Backend]
    templates: Templates
    timeout: float
    """Seconds that one prompt may take with all its attempts."""

    proxy: str | None
    """`http://HOST:PORT` of the proxy to providers; None: connect directly."""


class Dropped(NamedTuple):
    """A backend that cannot be used.

    `reason` is half a sentence that names no secret. `variable`: the unset variable of its key.
    """

    backend: str
    reason: str
    variable: str | None = None


class ReadConfig(NamedTuple):
    """A configuration, and what an operator should know about it."""

    config: LlmConfig
    dropped: list[Dropped]
    unknown_keys: list[str]


def read_config(
    value: Mapping[str, Any], unset_variables: Mapping[str, str] | None = None
) -> ReadConfig:
    """Read the configuration from a YAML map in which `${ENV[…]}` is already replaced.

    `unset_variables`: see `workers.worker.module.ModuleOptions`. Raises `BadRequest` naming the
    invalid key.
    """
    unset = unset_variables or {}
    backends = {
        name: _backend(fields, f"backends.{name}")
        for name, fields in _entries(value.get("backends"), "backends")
    }
    dropped = [
        _dropped(name, reason, unset) for name, each in backends.items() if (reason := _fault(each))
    ]
    unusable = {each.backend for each in dropped}
    config = LlmConfig(
        backends={
            name: _with_enabled_models(each)
            for name, each in backends.items()
            if name not in unusable
        },
        templates=_templates(value.get("prompt_templates")),
        timeout=_timeout(value.get("timeout")),
        proxy=_proxy(value.get("proxy")),
    )
    return ReadConfig(config, dropped, sorted(_unknown_keys(value)))


def shortage(read: ReadConfig) -> str:
    """Return why a configuration has no usable backend and what to do, as one sentence."""
    variables = [each.variable for each in read.dropped if each.variable]
    if variables:
        *others, last = variables
        wanted = f"{', '.join(others)} or {last}" if others else last
        return f"no usable LLM backend: set {wanted} (POST /env) and restart the module"
    reasons = "; ".join(f"{each.backend}: {each.reason}" for each in read.dropped)
    return (
        f"no usable LLM backend ({reasons or 'the configuration names none'}): "
        "configure one and restart the module"
    )


def default_config() -> dict[str, Any]:
    """Return the configuration of the package, as parsed from YAML."""
    text = (importlib.resources.files(__package__) / DEFAULT_FILE).read_text("utf-8")
    value = load_yaml(text)
    assert isinstance(value, dict)
    return value


def priority(meta: Mapping[str, Any]) -> float:
    """Return `meta.priority`, or 0 without one. Raises `ValueError` if it is not a number."""
    value = meta.get("priority", 0)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise ValueError("meta.priority: expected a number")
    return float(value)


def check_host(host: str) -> None:
    """Raise `ValueError` unless `host` is a URL like `https://api.example.com`."""
    try:
        parts = urlsplit(host)
        is_fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_fine = None
    if not is_fine or not host.isprintable() or " " in host:
        raise ValueError("host: expected http://HOST or https://HOST")
    if "@" in parts.netloc:
        raise ValueError("host: holds a user name or password; put the key into `key`")
    if not is_host(parts.hostname or "") or parts.netloc.endswith(":"):
        raise ValueError("host: expected http://HOST or https://HOST, a DNS name or an IP address")
    if parts.query or parts.fragment:
        raise ValueError("host: must not have a query (?) or a fragment (#)")


def check_provider(provider: str) -> None:
    """Raise `ValueError` for a provider whose wire format is not known."""
    if provider not in PROVIDERS:
        raise ValueError(f"provider: expected {', '.join(PROVIDERS)}")


def check_key(key: Secret) -> None:
    """Raise `ValueError`, without the key, for a key that cannot be sent in an HTTP header."""
    text = key.reveal()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("key: holds a space or a character that is not allowed in an HTTP header")


def _backend(fields: dict[str, Any], path: str) -> Backend:
    models = {
        name: _struct(each, Model, f"{path}.models.{name}")
        for name, each in _entries(fields.get("models"), f"{path}.models")
    }
    key = fields.get("key")
    plain = {**fields, "models": {}, "key": key.strip() if isinstance(key, str) else key}
    if key is None:
        del plain["key"]
    backend = _struct(plain, Backend, path)
    return msgspec.structs.replace(backend, models=models)


def _fault(backend: Backend) -> str | None:
    """Return why a backend cannot be used, or None."""
    if not backend.enabled:
        return "it is not enabled"
    if not any(model.enabled for model in backend.models.values()):
        return "it has no enabled model"
    if not backend.key and backend.provider not in KEYLESS:
        return _EMPTY_KEY
    return None


def _dropped(name: str, reason: str, unset: Mapping[str, str]) -> Dropped:
    variable = unset.get(f"backends.{name}.key") if reason == _EMPTY_KEY else None
    return Dropped(name, f"{reason}: {variable} is not set" if variable else reason, variable)


def _with_enabled_models(backend: Backend) -> Backend:
    models = {name: model for name, model in backend.models.items() if model.enabled}
    return msgspec.structs.replace(backend, models=models)


def _templates(value: Any) -> Templates:
    """Return the given templates, and for the other kinds the default ones."""
    given = dict(_entries(value, "prompt_templates"))
    defaults = default_config()["prompt_templates"]
    found = {}
    for kind in TemplateKind:
        path = f"prompt_templates.{kind.value}"
        template = _struct(given.get(kind.value, defaults[kind.value]), Template, path)
        if missing := template.missing(kind):
            raise BadRequest(f"{path}: lacks #{{{missing[0]}}}")
        found[kind.value] = template
    return Templates(**found)


def _timeout(value: Any) -> float:
    text = "3m" if value is None else value
    if not isinstance(text, str):
        raise BadRequest(f"timeout: expected str, got {type(text).__name__}")
    try:
        _check_timeout(text)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    return parse_duration(text)


def _proxy(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadRequest(f"proxy: expected str, got {type(value).__name__}")
    try:
        check_host(value)
    except ValueError as error:
        raise BadRequest(f"proxy: {str(error).removeprefix('host: ')}") from None
    return value


def _check_timeout(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ValueError(f"timeout: {error}") from None
    if not 0 < seconds <= MAX_TIMEOUT:
        raise ValueError(f"timeout: expected more than 0 and at most {MAX_TIMEOUT:.0f}s")


def _entries(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of a map of maps; null counts as an empty map."""
    for name, fields in _map(value, path).items():
        yield name, _map(fields, f"{path}.{name}")


def _map(value: Any, path: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest(f"{path}: expected a map, got {type(value).__name__}")
    for name in value:
        if not isinstance(name, str):
            raise BadRequest(f"{path}: expected names that are text, got {str(name)[:40]}")
    return value


def _struct(fields: dict[str, Any], kind: type[T], path: str) -> T:
    try:
        return from_value(fields, kind)
    except BadRequest as error:
        raise BadRequest(f"{path}.{error.message}") from None


def _unknown_keys(value: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown(value, _KEYS | _POOL_KEYS, "")
    for name, fields in _entries(value.get("backends"), "backends"):
        path = f"backends.{name}"
        yield from _unknown(fields, _fields_of(Backend), f"{path}.")
        for model, model_fields in _entries(fields.get("models"), f"{path}.models"):
            yield from _unknown(model_fields, _fields_of(Model), f"{path}.models.{model}.")
    for name, fields in _entries(value.get("prompt_templates"), "prompt_templates"):
        if name in {kind.value for kind in TemplateKind}:
            yield from _unknown(fields, _fields_of(Template), f"prompt_templates.{name}.")
        else:
            yield f"prompt_templates.{name}"


def _unknown(fields: Mapping[str, Any], known: Collection[str], prefix: str) -> Iterator[str]:
    return (f"{prefix}{name}" for name in fields if name not in known)


def _fields_of(kind: type[Struct]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(kind)}
