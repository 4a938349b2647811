"""What a contract sees of the machine itself: `_genlayer_wasi`, refusals, the message, traces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from genvm_manager.protocol.run_result import ResultCode
from tests.support.python_contracts import ALICE, BOB, CHAIN_ID, Chain, Contract, running_chain

HEAD = """
from genlayer import *
import atexit, os, sys

def attempt(function):
    try:
        return repr(function())
    except Exception as error:
        return f"{type(error).__name__} {error}"

class Main(gl.Contract):
    count: u8
"""

MACHINE = (
    HEAD
    + """
    @gl.public.write
    def read_and_write(self) -> list:
        wasi, slot, buffer = gl.wasi, bytes([7]) * 32, bytearray(4)
        wasi.storage_write(slot, 6, memoryview(b"abc"))
        wasi.storage_read(slot, 5, buffer)
        return [bytes(buffer), wasi.get_balance(gl.message.sender_address.as_bytes)]

    @gl.public.write
    def answers(self) -> list:
        ask = gl.calldata.encode({"Trace": {"RuntimeMicroSec": None}})
        first, second = gl.wasi.gl_call(ask), gl.wasi.gl_call(ask)
        gl.trace("the host is asked meanwhile")
        with os.fdopen(second, "rb") as two, os.fdopen(first, "rb") as one:
            read = [one.read(), two.read()]
        nothing = gl.wasi.gl_call(gl.calldata.encode({"Trace": {"Message": "x"}}))
        return [*read, nothing, self.count]

    @gl.public.write
    def refusals(self) -> list:
        wasi, slot = gl.wasi, bytes(32)
        return [attempt(function) for function in (
            lambda: wasi.gl_call(b"no calldata"),
            lambda: wasi.storage_read(slot, 2**32 - 1, bytearray(2)),
            lambda: wasi.storage_read(b"short", 0, bytearray(2)),
            lambda: wasi.storage_write(b"short", 0, b"xy"),
            lambda: wasi.storage_write(slot, 0, b"locked"),
            lambda: wasi.get_balance(b"short"),
            lambda: wasi.storage_read(slot=slot, off=0, buf=bytearray(1)),
        )]

    @gl.public.write
    def refused_everywhere(self) -> list:
        def assign():
            self.count = 5
        return [attempt(function) for function in (
            assign,
            lambda: gl.advanced.emit_raw_event([b"short"], {}),
            lambda: gl.advanced.emit_raw_event([bytes(32)] * 5, {}),
            lambda: gl.advanced.emit_raw_event([bytes(32)], {}),
            lambda: gl.nondet.exec_prompt("?"),
        )]

    @gl.public.write
    def message(self) -> list:
        m = gl.message
        return [list(m), m._fields, m._asdict() == dict(zip(m._fields, m)),
                m._replace(value=9).value, attempt(lambda: setattr(m, "value", 1)),
                m == tuple(m), repr(m), m.chain_id,
                gl.MessageType is type(m), gl.MessageType(1, 2, 3, 4, 5)]

    @gl.public.write
    def raw(self) -> list:
        return [sorted(gl.message_raw), gl.message_raw["datetime"], gl.message_raw["stack"]]

    @gl.public.write
    def traces(self) -> list:
        return [gl.trace("a", 1, [2], sep="-"), gl.trace(), gl.trace_time_micro()]

    @gl.public.write
    def surroundings(self) -> list:
        import time
        absent = [attempt(lambda: __import__(name)) for name in ("ctypes", "lzma")]
        return [sys.path[-1], time.tzname[0], time.timezone, *absent]

    @gl.public.write
    def ends(self, how: str) -> str:
        def farewell(word):
            print(word)
            self.count += 1
        atexit.register(farewell, "first registered, last run")
        atexit.register(farewell, "bye")
        if how == "user error":
            raise gl.vm.UserError("no")
        if how == "immediate":
            gl.advanced.user_error_immediate("no")
        if how == "fails":
            raise ValueError
        return how
"""
)


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


@pytest.fixture(scope="module")
def contract(chain: Chain) -> Contract:
    return chain.deploy(MACHINE)


def test_storage_and_balances_below_the_sdk(contract: Contract) -> None:
    assert contract.call("read_and_write") == [b"\0abc", 0]


def test_each_answer_has_a_descriptor_of_its_own(contract: Contract) -> None:
    zero = b"\x01"  # calldata of 0: no clock in a deterministic machine
    assert contract.call("answers")[:3] == [zero, zero, 2**32 - 1]


def test_a_refusal_is_a_system_error_with_its_code_and_name(contract: Contract) -> None:
    *refused, positional = contract.call("refusals")
    assert refused == [
        "SystemError 2: inval",
        "SystemError 1: overflow",
        "SystemError 2: inval",
        "SystemError 2: inval",
        "SystemError 6: forbidden",
        "SystemError 2: inval",
    ]
    assert positional.startswith("TypeError")


def test_a_refusal_passes_through_the_sdk_unchanged(contract: Contract) -> None:
    inval, forbidden = "SystemError 2: inval", "SystemError 6: forbidden"
    found = contract.attempt({"method": "refused_everywhere"}, permissions="r").returned()
    assert found == [forbidden, inval, inval, forbidden, forbidden]


def test_the_message_is_a_named_tuple(contract: Contract) -> None:
    sent = [contract.address, BOB, ALICE, 0, CHAIN_ID]
    found = contract.call("message", sender=BOB)
    names = ["contract_address", "sender_address", "origin_address", "value", "chain_id"]
    assert found[:2] == [sent, names]
    texts = [f'Address("{address.as_hex}")' for address in (contract.address, BOB, ALICE)]
    fields = zip(names, [*texts, "0", str(CHAIN_ID)], strict=True)
    assert found[6] == f"MessageType({', '.join(f'{name}={text}' for name, text in fields)})"
    assert found[2:4] == [True, 9]
    assert found[4].startswith("AttributeError")
    assert found[5] is True
    assert found[7:] == [CHAIN_ID, True, [1, 2, 3, 4, 5]]


def test_the_raw_message_has_all_keys(contract: Contract) -> None:
    keys = "contract_address sender_address origin_address stack chain_id value is_init datetime"
    entry = "entry_kind entry_data entry_stage_data"
    expected = sorted(f"{keys} {entry}".split())
    assert contract.call("raw") == [expected, "2026-01-02T03:04:05Z", []]


def test_traces_go_to_the_log(contract: Contract) -> None:
    outcome = contract.calling("traces")
    assert outcome.returned() == [None, None, 0]
    assert [line["message"] for line in outcome.ended.log] == ["a-1-[2]", ""]


def test_where_python_runs(contract: Contract) -> None:
    *places, no_ctypes, no_lzma = contract.call("surroundings")
    assert places == ["/", "UTC", 0]
    assert no_ctypes == "ModuleNotFoundError No module named 'ctypes'"
    assert no_lzma == "ModuleNotFoundError No module named '_lzma'"


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("returns", ResultCode.RETURN),
        ("user error", ResultCode.USER_ERROR),
        ("immediate", ResultCode.USER_ERROR),
        ("fails", ResultCode.VM_ERROR),
    ],
)
def test_exit_handlers_run_once_however_it_ends(
    contract: Contract, how: str, code: ResultCode
) -> None:
    outcome = contract.calling("ends", how)
    assert outcome.result.code is code
    assert outcome.ended.stdout == b"bye\nfirst registered, last run\n"
    assert bool(outcome.result.storage_changes) is (code is ResultCode.RETURN)
