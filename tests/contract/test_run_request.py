"""Run requests: both forms, every field, and errors that name the field.

Source: docs/spec/03-run-request.md#the-request.
"""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from genvm_manager.base.errors import BadRequest
from genvm_manager.protocol import calldata
from genvm_manager.protocol.bodies import from_calldata, from_json
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.executor import METHOD_HOSTS, decode_execution_data
from genvm_manager.protocol.ipc.commands import StartRun
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.protocol.ipc.runs import Capture, MajorSelector, VersionSelector
from genvm_manager.protocol.run_request import RunRequest

ADDRESS = "0x" + "11" * 20
CALL = calldata.encode({"method": "get", "args": [1]})

NATIVE: dict[str, Any] = {
    "major": 0,
    "message": {
        "contract_address": Address(ADDRESS),
        "sender_address": Address(ADDRESS),
        "origin_address": Address(ADDRESS),
        "chain_id": 61_999,
        "is_init": False,
    },
    "calldata": CALL,
    "timestamp": "2026-01-01T00:00:00Z",
    "host": "unix:///tmp/host.sock",
    "is_sync": True,
}


def as_json(value: Any) -> Any:
    """Return the JSON form of a native request."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Address):
        return value.as_hex
    return value


def command(**changes: Any) -> StartRun:
    """Return the command of the plain request with `changes`, equal from both of its forms."""
    request = NATIVE | changes
    native = from_calldata(calldata.encode(request), RunRequest).command()
    assert from_json(json.dumps(as_json(request)).encode(), RunRequest).command() == native
    return native


def refusal(form: str, **changes: Any) -> str:
    """Return the error that a request with `changes` gets; a value of None removes the field."""
    request = {key: value for key, value in (NATIVE | changes).items() if value is not None}
    with pytest.raises(BadRequest) as caught:
        if form == "json":
            from_json(json.dumps(as_json(request)).encode(), RunRequest).command()
        else:
            from_calldata(calldata.encode(request), RunRequest).command()
    return caught.value.message


def test_the_plain_request() -> None:
    started = command()
    assert started.selector == MajorSelector(0)
    assert started.deadline == 20 * 60
    assert started.capture is Capture.TAIL
    assert not started.needs_modules
    execution = decode_execution_data(started.execution_data)
    assert execution.calldata == CALL
    assert execution.code is None
    assert execution.message["contract_address"] == Address(ADDRESS)
    assert execution.message["value"] == 0
    assert execution.message["datetime"] == "2026-01-01T00:00:00Z"
    assert calldata.decode(started.execution_data)["method_hosts"] == METHOD_HOSTS
    assert METHOD_HOSTS == [0, 0, 0, 0, 0, 0, 1, 0]


def test_what_the_executor_must_see_reaches_it() -> None:
    message = NATIVE["message"] | {"datetime": "2025-05-05T05:05:05+02:00", "value": 2**255}
    execution = decode_execution_data(
        command(
            code=b"\0asm",
            message=message,
            host_data='{"a": 1}',
            leader_nondet_results=[b"x", b""],
            bucket_totals=[1, 2],
            unknown_field={"is": "ignored"},
        ).execution_data
    )
    assert execution.code == b"\0asm"
    assert execution.message["datetime"] == "2025-05-05T05:05:05+02:00"
    assert execution.message["value"] == 2**255
    assert execution.leader_nondet_results == [b"x", b""]
    assert execution.extras == {"bucket_totals": [1, 2]}


@pytest.mark.parametrize("value", ["0x10", "16", 16])
def test_big_ints_may_be_strings(value: int | str) -> None:
    message = as_json(NATIVE["message"] | {"value": value, "chain_id": value})
    request = json.dumps(as_json(NATIVE) | {"message": message}).encode()
    sent = decode_execution_data(from_json(request, RunRequest).command().execution_data).message
    assert (sent["value"], sent["chain_id"]) == (16, 16)


def test_a_json_address_may_be_base64() -> None:
    message = as_json(NATIVE["message"]) | {"sender_address": Address(ADDRESS).as_b64}
    request = json.dumps(as_json(NATIVE) | {"message": message}).encode()
    sent = decode_execution_data(from_json(request, RunRequest).command().execution_data).message
    assert sent["sender_address"] == Address(ADDRESS)


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"max_execution_minutes": 3}, 180),
        ({"max_execution_minutes": 60 * 48}, 24 * 3600),
        ({"deadline": "250ms"}, 0.25),
        ({"deadline": "10.5m", "max_execution_minutes": 1}, 630),
        ({"deadline": "48h"}, 24 * 3600),
    ],
)
def test_deadlines(changes: dict[str, Any], seconds: float) -> None:
    assert command(**changes).deadline == seconds


@pytest.mark.parametrize(
    ("changes", "capture", "is_unsafe"),
    [
        ({"capture_output": False}, Capture.NOTHING, False),
        ({"debug_mode": "disabled"}, Capture.NOTHING, False),
        ({"debug_mode": "safe", "capture_output": False}, Capture.BRIEF, False),
        ({"debug_mode": "safe-unbounded"}, Capture.EVERYTHING, False),
        ({"debug_mode": "unsafe-tracing"}, Capture.EVERYTHING, True),
    ],
)
def test_what_is_captured(changes: dict[str, Any], capture: Capture, is_unsafe: bool) -> None:
    started = command(**changes)
    assert (started.capture, started.is_unsafe) == (capture, is_unsafe)


def test_selectors_of_newer_clients() -> None:
    assert command(selector={"kind": "major", "major": 2}).selector == MajorSelector(2)
    by_version = command(major=None, selector={"kind": "version", "version": "v0.2.0"})
    assert by_version.selector == VersionSelector("v0.2.0")


LLM, WEB = ModuleKind.LLM, ModuleKind.WEB
HOST_DATA = '{"node_address": "0x1", "tx_id": "0x2", "more": 1}'


@pytest.mark.parametrize(
    ("changes", "modules"),
    [
        ({"host_data": HOST_DATA}, [LLM, WEB]),
        ({"is_sync": True, "modules": ["llm"]}, []),
        ({"no_modules": True}, []),
        ({"no_modules": True, "modules": []}, []),
        ({"permissions": "rwsc", "modules": ["web"]}, []),
        ({"modules": []}, []),
        ({"host_data": HOST_DATA, "modules": ["llm"]}, [LLM]),
        ({"host_data": HOST_DATA, "modules": ["web", "llm"]}, [LLM, WEB]),
    ],
)
def test_which_modules_a_run_needs(changes: dict[str, Any], modules: list[ModuleKind]) -> None:
    started = command(**{"is_sync": False} | changes)
    assert (started.modules, started.needs_modules) == (modules, bool(modules))


def test_modules_do_not_reach_the_executors_data() -> None:
    given = command(is_sync=False, host_data=HOST_DATA, modules=["llm"])
    assert given.execution_data == command(is_sync=False, host_data=HOST_DATA).execution_data


@pytest.mark.parametrize("form", ["json", "calldata"])
@pytest.mark.parametrize("field", ["major", "message", "calldata", "timestamp", "host"])
def test_a_missing_field_is_named(form: str, field: str) -> None:
    assert refusal(form, **{field: None}) == f"{field}: missing"


@pytest.mark.parametrize("form", ["json", "calldata"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"major": "0"}, "major: expected int, got str"),
        ({"message": []}, "message: expected object, got array"),
        ({"message": {"contract_address": 1}}, "message.contract_address: expected address, got"),
        ({"message": NATIVE["message"] | {"chain_id": "x"}}, "message: chain_id: expected int"),
        ({"message": NATIVE["message"] | {"value": -1}}, "message: value: expected 0 or more"),
        ({"message": NATIVE["message"] | {"value": 2**256}}, "message: value: expected 0 or more"),
        ({"message": NATIVE["message"] | {"datetime": "noon"}}, "message: datetime: expected RFC"),
        ({"timestamp": "2026-01-01"}, "timestamp: expected RFC 3339"),
        ({"host": "http://x"}, "host: expected unix://PATH or tcp://HOST:PORT"),
        ({"host": "unix://relative"}, "host: expected unix:///PATH"),
        ({"host": "unix:///" + "x" * 200}, "host: expected unix:///PATH of at most 107"),
        ({"host": "tcp://nowhere"}, "host: expected"),
        ({"host": "tcp://h:99999"}, "host: expected"),
        ({"message": NATIVE["message"] | {"value": "1_000"}}, "message: value: expected int"),
        ({"message": NATIVE["message"] | {"value": " 12 "}}, "message: value: expected int"),
        ({"message": NATIVE["message"] | {"value": "+5"}}, "message: value: expected int"),
        ({"message": NATIVE["message"] | {"value": "٣"}}, "message: value: expected int"),
        ({"message": NATIVE["message"] | {"value": ""}}, "message: value: expected int"),
        ({"message": NATIVE["message"] | {"chain_id": "1_000"}}, "message: chain_id: expected int"),
        ({"host": "tcp://a@b:1"}, "host: expected unix://PATH or tcp://HOST:PORT"),
        ({"host": "tcp://a\n:1"}, "host: expected unix://PATH or tcp://HOST:PORT"),
        ({"host": "unix:///a\n"}, "host: expected unix:///PATH"),
        ({"permissions": "rwx"}, "permissions: expected letters of rwscnu, got 'x'"),
        ({"permissions": "rr"}, "permissions: expected at most 6 letters, each of rwscnu once"),
        ({"permissions": "r" * 500_000}, "permissions: expected at most 6 letters"),
        ({"extra_args": ["--debug-mode"] * 100_000}, "extra_args: expected array of length <= 64"),
        ({"extra_args": ["x" * 1025]}, "extra_args[0]: expected str of length <= 1024"),
        ({"leader_nondet_results": [b""] * 65_537}, "leader_nondet_results: expected array of"),
        ({"timestamp": "2" * 200}, "timestamp: expected str of length <= 128"),
        ({"selector": {"kind": "x" * 100_000}}, "selector.kind: expected major, version, got 'xxx"),
        ({"deadline": "soon"}, "deadline: expected a duration"),
        ({"deadline": "0s"}, "deadline: expected more than nothing"),
        ({"max_execution_minutes": -1}, "max_execution_minutes: expected more than nothing"),
        ({"debug_mode": "verbose"}, "debug_mode: expected one of disabled, safe"),
        ({"selector": {"kind": "major"}}, "selector.major: missing"),
        ({"selector": {"kind": "colour"}}, "selector.kind: expected major, version, got 'colour'"),
        ({"host_genvm_id": "x" * 300}, "host_genvm_id: expected 1 to 256 characters"),
        ({"modules": ["llm", "db"]}, "modules[1]: expected llm, web, got 'db'"),
        ({"modules": ["LLM"]}, "modules[0]: expected llm, web, got 'LLM'"),
        ({"modules": "llm"}, "modules: expected array, got str"),
        ({"modules": ["web", "llm", "web"]}, "modules: names web twice"),
        ({"modules": ["llm"], "no_modules": True}, "modules: names llm, while no_modules is true"),
        ({"modules": ["llm"], "is_sync": False}, "host_data: expected JSON text"),
        ({"extra_args": [1]}, "extra_args[0]: expected str, got int"),
        ({"leader_nondet_results": [1]}, "leader_nondet_results[0]: expected bytes, got int"),
        ({"is_sync": False}, "host_data: expected JSON text"),
        ({"host_data": " " * 1048577}, "host_data: expected at most 1048576 characters"),
        ({"is_sync": False, "host_data": "[]"}, "host_data: expected a str node_address"),
        ({"is_sync": False, "host_data": '{"node_address": ""}'}, "host_data: expected a str tx_"),
    ],
)
def test_a_field_at_fault_is_named(form: str, changes: dict[str, Any], message: str) -> None:
    said = refusal(form, **changes)
    assert said.startswith(message)
    assert len(said) < 2_100


def test_json_floats_in_passed_on_fields_are_refused_as_calldata_has_none() -> None:
    request = json.dumps(as_json(NATIVE) | {"gas_data": {"price": 1.5}}).encode()
    with pytest.raises(BadRequest, match=r"gas_data\.price: float has no calldata"):
        from_json(request, RunRequest).command()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b"null", b'{"calldata": "?"}']
)
def test_bodies_that_are_no_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        from_json(body, RunRequest)
    with pytest.raises(BadRequest):
        from_calldata(body, RunRequest)


MANY = 3 << 20


@pytest.mark.parametrize("item", ["[]", "{}", '""', "1"])
def test_a_wide_json_body_is_refused_before_anything_is_made(item: str) -> None:
    text = json.dumps(as_json(NATIVE))[:-1] + ', "gas_data": [' + f"{item}," * MANY + "1]}"
    body = text.encode()
    assert _peak_of_refusal(lambda: from_json(body, RunRequest)) == (
        "body: more than 1048576 values, by its commas and brackets"
    )


@pytest.mark.parametrize("item", [{}, [], b"", 1])
def test_a_wide_calldata_body_is_refused_before_anything_is_made(item: Any) -> None:
    few = calldata.encode(NATIVE | {"z": [item] * 3})
    at = few.index(b"\x01z") + 2
    head = MANY << 3 | 5
    groups = bytes([head & 127 | 128, head >> 7 & 127 | 128, head >> 14 & 127 | 128, head >> 21])
    body = few[:at] + groups + calldata.encode(item) * MANY
    assert _peak_of_refusal(lambda: from_calldata(body, RunRequest)) == (
        f"body: not calldata: more than 1048576 values at offset {at}"
    )


def _peak_of_refusal(decode: Callable[[], object]) -> str:
    """Return the error of `decode`, which has to come without many bytes of memory."""
    tracemalloc.start()
    try:
        with pytest.raises(BadRequest) as raised:
            decode()
        assert tracemalloc.get_traced_memory()[1] < 1 << 17
    finally:
        tracemalloc.stop()
    return str(raised.value)


def test_an_error_never_repeats_a_long_value() -> None:
    request = as_json(NATIVE) | {"selector": {"kind": "x" * (1 << 20)}}
    with pytest.raises(BadRequest) as raised:
        from_json(json.dumps(request).encode(), RunRequest)
    assert str(raised.value).startswith("selector.kind: ")
    assert len(str(raised.value)) < 3000
