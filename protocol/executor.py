"""How an executor is started and what it reads and writes (docs/spec/04-executor.md#command-line).

The executor pays for this module's imports at each start, so it keeps to the light ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from . import calldata
from .errors import MalformedMessage
from .host.messages import Method

RESULT_HOST = 1
"""The host index of the manager's own end, which takes the result; the node's host loop is 0."""

METHOD_HOSTS = [RESULT_HOST if method is Method.CONSUME_RESULT else 0 for method in Method]
"""For each host method id, the host index that serves it."""

PASS_THROUGH_FIELDS = (
    "storage_pages",
    "bucket_totals",
    "gas_data",
    "message_fee_allocation",
    "initial_time_units_allocation",
    "record_actions",
    "host_hello_data",
    "unsafe_overrides",
)
"""Fields of a run request that reach the executor untouched.

Source: docs/spec/03-run-request.md#the-request.
"""


class ModuleDescriptors(NamedTuple):
    """Descriptors, in the child, of its connections to the module workers; None: it has none."""

    llm: int | None = None
    web: int | None = None


class RunArguments(NamedTuple):
    """What the command line of one run says; descriptors are numbers in the child."""

    log_fd: int
    extra_args: list[str]
    is_sync: bool
    host: str
    result_fd: int
    permissions: str
    modules: ModuleDescriptors
    genvm_id: int

    def argv(self) -> list[str]:
        """Return the arguments after the program's own command."""
        arguments = [f"--log-fd={self.log_fd}", "run", *self.extra_args]
        if self.is_sync:
            arguments.append("--sync")
        arguments += ["--host", self.host, "--host", f"fd://{self.result_fd}"]
        arguments += ["--permissions", self.permissions]
        for module, descriptor in self.modules._asdict().items():
            if descriptor is not None:
                arguments.append(f"--module-{module}=fd://{descriptor}")
        return [*arguments, f"--genvm-id={self.genvm_id}"]


class ExecutionData(NamedTuple):
    """What an executor reads from stdin: the call, its message, and the request's extras.

    `message` holds Address, int, bool and RFC 3339 str values by name. `extras` are those of
    `PASS_THROUGH_FIELDS` that the request had. `method_hosts`: for each host method id, the index
    of the host that serves it; 0 for those beyond its end.
    """

    calldata: bytes
    message: dict[str, Any]
    host_data: str
    code: bytes | None
    leader_nondet_results: list[bytes] | None
    extras: dict[str, Any]
    method_hosts: list[int] = METHOD_HOSTS

    def encode(self) -> bytes:
        """Return the whole of the executor's stdin."""
        fields = self._asdict()
        fields |= fields.pop("extras")
        return calldata.encode(fields)


def decode_execution_data(stdin: bytes) -> ExecutionData:
    """Return the execution data in `stdin`; unknown fields are ignored.

    Raises `MalformedMessage` that names the first field at fault.
    """
    try:
        fields = calldata.decode(stdin)
    except calldata.DecodeError as error:
        raise MalformedMessage(f"execution data: {error}") from error
    if not isinstance(fields, dict):
        raise MalformedMessage("execution data: expected a map")
    results = _field(fields, "leader_nondet_results", list, None)
    if results is not None and not all(isinstance(result, bytes) for result in results):
        raise MalformedMessage("leader_nondet_results: expected a list of bytes")
    return ExecutionData(
        calldata=_field(fields, "calldata", bytes),
        message=_field(fields, "message", dict),
        host_data=_field(fields, "host_data", str, ""),
        code=_field(fields, "code", bytes, None),
        leader_nondet_results=results,
        extras={name: fields[name] for name in PASS_THROUGH_FIELDS if name in fields},
        method_hosts=_method_hosts(fields),
    )


def _method_hosts(fields: dict[str, Any]) -> list[int]:
    indexes: list[int] = _field(fields, "method_hosts", list, [])
    if all(type(index) is int and index >= 0 for index in indexes):
        return indexes
    raise MalformedMessage("method_hosts: expected a list of host indexes")


_REQUIRED: Any = object()


def _field(fields: dict[str, Any], name: str, kind: type, absent: Any = _REQUIRED) -> Any:
    value = fields.get(name, absent)
    if value is _REQUIRED:
        raise MalformedMessage(f"{name}: missing")
    if value is not absent and not isinstance(value, kind):
        raise MalformedMessage(f"{name}: expected {kind.__name__}, got {type(value).__name__}")
    return value
