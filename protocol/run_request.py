"""A request to run a contract, as clients send it (docs/spec/03-run-request.md#the-request)."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.network.run_host import parse_run_host
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.base.text.numbers import decimal_or_hexadecimal
from genvm_manager.base.text.timestamps import parse_rfc3339

from .calldata import Address, EncodeError
from .executor import PASS_THROUGH_FIELDS, ExecutionData
from .ipc.commands import StartRun
from .ipc.modules import ModuleKind
from .ipc.runs import Capture, MajorSelector, Selector, VersionSelector
from .permissions import ALL_PERMISSIONS, DEFAULT_PERMISSIONS, NONDET

MAX_DEADLINE = 24 * 3600.0
"""The longest a run may take, in seconds."""

MAX_TOKEN = 256
MAX_HOST_DATA = 1 << 20
"""Characters of the JSON that nodes send along; parsed here, and once more by the executor."""

MAX_EXTRA_ARGS = 64
MAX_EXTRA_ARG = 1_024
"""Characters of each."""

MAX_LEADER_RESULTS = 65_536
Major = Annotated[int, Meta(ge=0, lt=1 << 32)]
ShortText = Annotated[str, Meta(max_length=128)]
"""A time, a duration, a version, the name of a mode."""

PassedOn = Annotated[
    Any, Meta(description="Passed unchanged to executors whose version knows this field.")
]

_CAPTURES: dict[str, Capture] = {
    "disabled": Capture.NOTHING,
    "safe": Capture.BRIEF,
    "safe-unbounded": Capture.EVERYTHING,
}


class Message(Struct):
    """The transaction's part that says who calls which contract."""

    contract_address: Annotated[Address, Meta(description="The contract that is called.")]
    sender_address: Annotated[Address, Meta(description="The caller.")]
    origin_address: Annotated[Address, Meta(description="The sender of the transaction.")]
    chain_id: Annotated[
        int | str,
        Meta(description="A number, or text with a decimal or `0x` number.", examples=[61_999]),
    ]
    is_init: Annotated[bool, Meta(description="Whether this is a deployment.")]
    value: Annotated[
        int | str | None,
        Meta(description="The amount paid, in the smallest unit; written as `chain_id`."),
    ] = 0
    signer_address: Annotated[
        Address | None, Meta(description="The signer, where that is not the sender.")
    ] = None
    datetime: Annotated[
        ShortText | None, Meta(description="RFC 3339; null: the request's `timestamp`.")
    ] = None

    def __post_init__(self) -> None:
        self.chain_id = _whole_number("chain_id", self.chain_id)
        self.value = _whole_number("value", 0 if self.value is None else self.value)
        if self.datetime is not None:
            _check_time("datetime", self.datetime)


class RequestedSelector(Struct):
    """The executor to run on: the newest of a public-ABI major, or one exact version."""

    kind: Annotated[
        Literal["major", "version"], Meta(description="Which of the other two fields counts.")
    ]
    major: Annotated[Major | None, Meta(description="Public-ABI major.")] = None
    version: Annotated[
        ShortText | None, Meta(description="A version of the manifest.", examples=["v0.2.7"])
    ] = None

    def resolved(self) -> Selector:
        """Return the selector. Raises `BadRequest` when the field that `kind` names is absent."""
        if self.kind == "major" and self.major is not None:
            return MajorSelector(self.major)
        if self.kind == "version" and self.version is not None:
            return VersionSelector(self.version)
        raise BadRequest(f"selector.{self.kind}: missing")


class RunRequest(Struct):
    """One run, as `POST /genvm/run` takes it; unknown fields are ignored."""

    message: Annotated[Message, Meta(description="Who calls which contract, with what value.")]
    calldata: Annotated[
        bytes,
        Meta(
            description="The call: calldata of a map with `method`, `args` and `kwargs`; in JSON "
            "as base64."
        ),
    ]
    timestamp: Annotated[
        ShortText,
        Meta(
            description="The transaction's time, RFC 3339; the executor is chosen by it.",
            examples=["2026-01-31T12:00:00Z"],
        ),
    ]
    host: Annotated[
        str,
        Meta(
            description="The address of the node's host loop: `unix:///PATH` or `tcp://HOST:PORT`.",
            examples=["unix:///run/node/host.sock"],
        ),
    ]
    major: Annotated[
        Major | None, Meta(description="Public-ABI major; required unless `selector` is given.")
    ] = None
    selector: Annotated[
        RequestedSelector | None,
        Meta(description="The newer form of `major`: by major, or one exact version."),
    ] = None
    code: Annotated[
        bytes | None,
        Meta(description="Contract code of a deployment; null: it is in the host's storage."),
    ] = None
    host_data: Annotated[
        str, Meta(description="JSON text; with modules it must hold `node_address` and `tx_id`.")
    ] = ""
    is_sync: Annotated[
        bool,
        Meta(description="Deterministic replay: needs no modules and takes fewer permits."),
    ] = False
    permissions: Annotated[
        str,
        Meta(description="Letters of r(ead) w(rite) s(end) c(all) n(ondet) u(register runners)."),
    ] = DEFAULT_PERMISSIONS
    no_modules: Annotated[
        bool, Meta(description="Run without modules although `permissions` has `n`.")
    ] = False
    modules: Annotated[
        list[ModuleKind] | None,
        Meta(description="The modules that a run with `n` needs and gets; null: all."),
    ] = None
    leader_nondet_results: Annotated[
        Annotated[list[bytes], Meta(max_length=MAX_LEADER_RESULTS)] | None,
        Meta(description="Null: this run is the leader; else it validates against these."),
    ] = None
    capture_output: Annotated[bool, Meta(description="False: stdout and stderr are discarded.")] = (
        True
    )
    debug_mode: Annotated[
        ShortText | None,
        Meta(description="Instead of `capture_output`: `disabled`, `safe` or `safe-unbounded`."),
    ] = None
    max_execution_minutes: Annotated[
        float, Meta(description="Minutes until the deadline; at most a day.")
    ] = 20
    deadline: Annotated[
        ShortText | None,
        Meta(
            description="Replaces `max_execution_minutes`: `250ms`, `30s`, `10.5m`, `1h`.",
            examples=["30s"],
        ),
    ] = None
    host_genvm_id: Annotated[
        str | None,
        Meta(
            description="Idempotency token: the same token again gives the same id and starts "
            "nothing."
        ),
    ] = None
    extra_args: Annotated[
        list[Annotated[str, Meta(max_length=MAX_EXTRA_ARG)]],
        Meta(
            max_length=MAX_EXTRA_ARGS,
            description="Put into the executor's argv after `run`, where the settings allow it.",
        ),
    ] = []
    storage_pages: PassedOn = UNSET
    bucket_totals: PassedOn = UNSET
    gas_data: PassedOn = UNSET
    message_fee_allocation: PassedOn = UNSET
    initial_time_units_allocation: PassedOn = UNSET
    record_actions: PassedOn = UNSET
    host_hello_data: PassedOn = UNSET
    unsafe_overrides: PassedOn = UNSET

    def __post_init__(self) -> None:
        if self.major is None and self.selector is None:
            raise ValueError("major: missing")
        _check_time("timestamp", self.timestamp)
        _check_host(self.host)
        check_permissions(self.permissions)
        if self.host_genvm_id is not None and not 0 < len(self.host_genvm_id) <= MAX_TOKEN:
            raise ValueError(f"host_genvm_id: expected 1 to {MAX_TOKEN} characters")
        if len(self.host_data) > MAX_HOST_DATA:
            raise ValueError(f"host_data: expected at most {MAX_HOST_DATA} characters")
        self._check_modules()
        if self.needed_modules:
            _check_host_data(self.host_data)

    @property
    def needed_modules(self) -> list[ModuleKind]:
        """The modules that must run, and that the executor is connected to."""
        if self.is_sync or self.no_modules or NONDET not in self.permissions:
            return []
        return [kind for kind in ModuleKind if self.modules is None or kind in self.modules]

    def command(self) -> StartRun:
        """Return the supervisor's command for this run. Raises `BadRequest`, naming the field."""
        capture, is_unsafe = self._capture()
        return StartRun(
            selector=self._selector(),
            timestamp=parse_rfc3339(self.timestamp).timestamp(),
            host=self.host,
            is_sync=self.is_sync,
            modules=self.needed_modules,
            permissions=self.permissions,
            capture=capture,
            is_unsafe=is_unsafe,
            deadline=self._deadline(),
            token=self.host_genvm_id,
            extra_args=self.extra_args,
            execution_data=self._execution_data(),
        )

    def _check_modules(self) -> None:
        given = self.modules or []
        for kind in ModuleKind:
            if given.count(kind) > 1:
                raise ValueError(f"modules: names {kind} twice")
        if given and self.no_modules:
            raise ValueError(f"modules: names {given[0]}, while no_modules is true")

    def _selector(self) -> Selector:
        if self.selector is not None:
            return self.selector.resolved()
        if self.major is not None:
            return MajorSelector(self.major)
        raise BadRequest("major: missing")

    def _capture(self) -> tuple[Capture, bool]:
        mode = self.debug_mode
        if mode is None:
            return (Capture.TAIL if self.capture_output else Capture.NOTHING), False
        if mode.startswith("unsafe"):
            return Capture.EVERYTHING, True
        if mode not in _CAPTURES:
            raise BadRequest(f"debug_mode: expected one of {', '.join(_CAPTURES)}, got {mode!r}")
        return _CAPTURES[mode], False

    def _deadline(self) -> float:
        """Return the seconds that the run may take, at most a day in either spelling.

        Raises `BadRequest`.
        """
        if self.deadline is None:
            seconds = self.max_execution_minutes * 60
            name = "max_execution_minutes"
        else:
            name = "deadline"
            try:
                seconds = parse_duration(self.deadline)
            except ValueError as error:
                raise BadRequest(f"deadline: {error}") from None
        if not seconds > 0:
            raise BadRequest(f"{name}: expected more than nothing")
        return min(seconds, MAX_DEADLINE)

    def _execution_data(self) -> bytes:
        fields = ((name, getattr(self, name)) for name in PASS_THROUGH_FIELDS)
        message = msgspec.structs.asdict(self.message)
        message["datetime"] = self.message.datetime or self.timestamp
        try:
            return ExecutionData(
                calldata=self.calldata,
                message=message,
                host_data=self.host_data,
                code=self.code,
                leader_nondet_results=self.leader_nondet_results,
                extras={name: value for name, value in fields if value is not UNSET},
            ).encode()
        except EncodeError as error:
            raise BadRequest(str(error).removeprefix(".")) from None


def check_permissions(letters: str) -> None:
    """Raise `ValueError` unless `letters` are permissions, each of them once at most."""
    if unknown := sorted(set(letters) - set(ALL_PERMISSIONS)):
        raise ValueError(f"permissions: expected letters of {ALL_PERMISSIONS}, got {unknown[0]!r}")
    if len(letters) > len(set(letters)):
        raise ValueError(
            f"permissions: expected at most {len(ALL_PERMISSIONS)} letters, each of "
            f"{ALL_PERMISSIONS} once"
        )


def _whole_number(name: str, given: int | str) -> int:
    try:
        number = given if isinstance(given, int) else decimal_or_hexadecimal(given)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if not 0 <= number < 1 << 256:
        raise ValueError(f"{name}: expected 0 or more, below 2**256")
    return number


def _check_time(name: str, text: str) -> None:
    try:
        parse_rfc3339(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _check_host(host: str) -> None:
    try:
        parse_run_host(host)
    except ValueError as error:
        raise ValueError(f"host: {error}") from None


def _check_host_data(text: str) -> None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("host_data: expected JSON text, as the run needs modules") from None
    entries = value if isinstance(value, dict) else {}
    for name in ("node_address", "tx_id"):
        if not isinstance(entries.get(name), str):
            raise ValueError(f"host_data: expected a str {name}, as the run needs modules")
