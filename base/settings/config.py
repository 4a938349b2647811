"""The configuration file of the service: one YAML map, every key optional."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta, Struct

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.files.cache_folder import DEFAULT_CACHE_BYTES, MAX_CACHE_BYTES
from genvm_manager.base.logging.lines import Form, Level
from genvm_manager.base.network.host_port import is_host, parse_host_port
from genvm_manager.base.network.run_host import check_pattern
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.base.text.yaml_text import load_yaml
from genvm_manager.base.validation import from_value

Count = Annotated[int, Meta(ge=1)]

DEFAULT_PORT = 3999

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

AUTO = "auto"
"""Value of `cgroup`: the one that was delegated to this service, if one was."""

MAX_SCHEMA_DEADLINE = 3600.0
"""Seconds."""


class PermitCosts(Struct, frozen=True):
    """The concurrency budget (docs/spec/03-run-request.md#life)."""

    total: Count | None = None
    """None: free memory divided by `gib_per_permit`, at least the dearest cost."""

    sync: Count = 1
    nondet: Count = 2
    gib_per_permit: Annotated[float, Meta(gt=0)] = 4.0

    @property
    def dearest(self) -> int:
        """The permits of the most expensive run."""
        return max(self.sync, self.nondet)


class Config(Struct, frozen=True):
    """All settings with their defaults. Durations are text such as `30s`, sizes are in bytes."""

    bind_address: str = f"127.0.0.1:{DEFAULT_PORT}"
    http_workers: Count = 2
    http_threads: Count = 512
    """Per worker, for requests that wait; `manager/api/limits/concurrency.py` shares them out."""

    max_body: Count = 64 << 20
    allowed_hosts: tuple[str, ...] = ()
    """Names, without port, that the Host header may have. Empty: any; at a loopback address only
    localhost, 127.0.0.1 and [::1]."""

    token_file: str | None = None
    """Holds the bearer token that requests must carry; None: none is needed."""

    root: str | None = None
    """A folder laid out as docs/spec/04-executor.md says; None: the built-in executor."""

    manifest_path: str | None = None
    permits: PermitCosts = PermitCosts()
    max_queued: Count = 1_000
    max_runs_per_second: Count = 1_000
    """On average, and at once; more are refused."""

    execution_retention: str = "5m"
    retained_bytes: Count = 1 << 30
    """Bytes of all finished runs together; beyond it the oldest are removed early."""

    schema_deadline: str = "30s"
    """How long the run behind `POST /genvm/run/readonly` may take from its start."""

    drain_timeout: str = "30s"
    run_memory_limit: Count = 4 << 30
    cgroup: str | None = AUTO
    """The cgroup below which each run gets its own: `auto`, or one by its path as
    `/proc/PID/cgroup` has it; None: runs get none."""

    compile_cache_bytes: Annotated[int, Meta(ge=1, le=MAX_CACHE_BYTES)] = DEFAULT_CACHE_BYTES
    """Bytes that compiled contracts may take on disk; then the least recently used are removed."""

    executor_env: dict[str, str] = {}
    allowed_extra_args: tuple[str, ...] = ("--debug-mode",)
    allow_unsafe_debug: bool = False
    allowed_hosts_of_runs: tuple[str, ...] | None = None
    """Where the `host` of a run may be: `unix:///PATH` and `tcp://HOST:PORT`, `*` for any
    characters. None: everywhere but at sockets and ports of this service."""

    client_variables: tuple[str, ...] = ()
    """Variables that `${ENV[NAME]}` in a client's text may name, besides those that our own files
    name and those of `POST /env`."""

    client_bind_addresses: tuple[str, ...] = ()
    """`HOST:PORT` at which clients may have a module listen, besides loopback."""

    log_level: Level = "info"
    log_format: Form = "console"

    def __post_init__(self) -> None:
        for name in ("execution_retention", "drain_timeout", "schema_deadline"):
            try:
                parse_duration(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        self._check_what_clients_may_name()
        for name in self.allowed_hosts:
            if not is_host(name.removeprefix("[").removesuffix("]")):
                raise ValueError(f"allowed_hosts: expected names without port, got {name[:60]!r}")
        if self.cgroup not in (None, AUTO) and not _is_cgroup(self.cgroup):
            raise ValueError(
                f"cgroup: expected {AUTO}, null or a path such as /genvm, as /proc/PID/cgroup has "
                f"it; got {self.cgroup!r}"
            )
        if not 0 < parse_duration(self.schema_deadline) <= MAX_SCHEMA_DEADLINE:
            raise ValueError(
                f"schema_deadline: expected more than 0 and at most {MAX_SCHEMA_DEADLINE:.0f}s"
            )

    def _check_what_clients_may_name(self) -> None:
        for name in self.client_variables:
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"client_variables: {name[:60]!r} is no name of a variable")
        for address in self.client_bind_addresses:
            try:
                parse_host_port(address)
            except ValueError as error:
                raise ValueError(f"client_bind_addresses: {error}") from None
        for pattern in self.allowed_hosts_of_runs or ():
            check_pattern(pattern)


def _is_cgroup(path: str) -> bool:
    """Return whether it is absolute, and written as the kernel writes it."""
    root, *names = path.split("/")
    is_plain = root == "" and names != [] and path.isprintable()
    return path == "/" or (is_plain and not {"", ".", ".."}.intersection(names))


def parse_config(text: str) -> tuple[Config, list[str]]:
    """Return the configuration in a YAML text, and the names of its unknown keys.

    Raises `BadRequest` that names the key at fault, or the line for text that is not YAML.
    """
    try:
        value = load_yaml(text)
    except yaml.YAMLError as error:
        raise BadRequest(f"config: not YAML: {error}") from None
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise BadRequest("config: expected a map of keys")
    return from_value(value, Config), _unknown_keys(value)


def _unknown_keys(value: dict[Any, Any]) -> list[str]:
    known = {field.name for field in msgspec.structs.fields(Config)}
    return sorted(str(key) for key in value if key not in known)
