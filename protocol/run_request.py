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

_CAPTURES: dict[str, Capture] = {
    "disabled": Capture.NOTHING,
    "safe": Capture.BRIEF,
    "safe-unbounded": Capture.EVERYTHING,
}


class Message(Struct):
    """Who calls which contract, with what value; an int may be a decimal or `0x` string."""

    contract_address: Address
    sender_address: Address
    origin_address: Address
    chain_id: int | str
    is_init: bool
    value: int | str | None = 0
    signer_address: Address | None = None
    datetime: ShortText | None = None

    def __post_init__(self) -> None:
        self.chain_id = _whole_number("chain_id", self.chain_id)
        self.value = _whole_number("value", 0 if self.value is None else self.value)
        if self.datetime is not None:
            _check_time("datetime", self.datetime)


class RequestedSelector(Struct):
    """How newer clients choose the executor: by public-ABI major, or one exact version."""

    kind: Literal["major", "version"]
    major: Major | None = None
    version: ShortText | None = None

    def resolved(self) -> Selector:
        """The selector proper. `BadRequest` when the field that `kind` names is absent."""
        if self.kind == "major" and self.major is not None:
            return MajorSelector(self.major)
        if self.kind == "version" and self.version is not None:
            return VersionSelector(self.version)
        raise BadRequest(f"selector.{self.kind}: missing")


class RunRequest(Struct):
    """One run, as `POST /genvm/run` takes it; unknown fields are ignored."""

    message: Message
    calldata: bytes
    timestamp: ShortText
    host: str
    major: Major | None = None
    selector: RequestedSelector | None = None
    code: bytes | None = None
    host_data: str = ""
    is_sync: bool = False
    permissions: str = DEFAULT_PERMISSIONS
    no_modules: bool = False
    modules: list[ModuleKind] | None = None
    """What the run needs where it needs modules; None: all."""

    leader_nondet_results: Annotated[list[bytes], Meta(max_length=MAX_LEADER_RESULTS)] | None = None
    capture_output: bool = True
    debug_mode: ShortText | None = None
    max_execution_minutes: float = 20
    deadline: ShortText | None = None
    host_genvm_id: str | None = None
    extra_args: Annotated[
        list[Annotated[str, Meta(max_length=MAX_EXTRA_ARG)]], Meta(max_length=MAX_EXTRA_ARGS)
    ] = []
    storage_pages: Any = UNSET
    bucket_totals: Any = UNSET
    gas_data: Any = UNSET
    message_fee_allocation: Any = UNSET
    initial_time_units_allocation: Any = UNSET
    record_actions: Any = UNSET
    host_hello_data: Any = UNSET
    unsafe_overrides: Any = UNSET

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
        """The supervisor's command for this run. `BadRequest` names the field at fault."""
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
        """Seconds. Both spellings are capped at a day."""
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
