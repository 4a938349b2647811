"""Calling Python contracts: what may be called, with what, and how a call can end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from genvm_manager.protocol.calldata import Address
from tests.support.python_contracts import ALICE, BOB, CHAIN_ID, Chain, Contract, running_chain


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


OFFICE = """
from genlayer import *
import typing

class Office(gl.Contract):
    served: u32
    last: str

    def __init__(self, start: int = 0, *, last: str = ""):
        self.served = start
        self.last = last

    @gl.public.view
    def state(self) -> list:
        return [self.served, self.last]

    @gl.public.write
    def serve(self, name: str, *, times: int = 1) -> int:
        self.served += times
        self.last = name
        return self.served

    @gl.public.write.payable
    def pay(self) -> int:
        return gl.message.value

    @gl.public.write.min_gas(leader=10, validator=5).payable
    def pay_with_gas(self) -> int:
        return gl.message.value

    @gl.private
    def hidden(self) -> int:
        return 1

    def undecorated(self) -> int:
        return 1

    @gl.public.write
    def refuse(self, how: str, what: typing.Any) -> None:
        self.served = 999
        match how:
            case "raise": raise gl.vm.UserError(what)
            case "rollback": raise gl.Rollback(what)
            case "immediate":
                try:
                    gl.advanced.user_error_immediate(what)
                finally:
                    print("not reached")
            case "caught":
                try:
                    raise gl.UserError(what)
                except gl.vm.UserError as error:
                    raise gl.vm.UserError("again: " + error.message)
            case "fail": raise ValueError(what)
            case "exit": exit(what)
            case "memory": raise MemoryError(what)
            case "assert": assert not what, what

    @gl.public.view
    def about(self) -> dict:
        m = gl.message
        raw = gl.message_raw
        return {
            "sender": m.sender_address, "origin": m.origin_address, "chain": m.chain_id,
            "value": m.value, "me": m.contract_address, "address": self.address,
            "balance": self.balance, "init": raw["is_init"], "at": raw["datetime"],
            "stack": raw["stack"],
        }

    @gl.public.view
    def echo(self, value: typing.Any) -> typing.Any:
        return value

    @gl.public.view
    def now(self) -> str:
        from datetime import datetime, timezone
        return datetime.now(timezone.utc).isoformat()
"""


@pytest.fixture(scope="module")
def office(chain: Chain) -> Contract:
    return chain.deploy(OFFICE, 5)


def test_arguments_go_by_place_and_by_name(chain: Chain) -> None:
    contract = chain.deploy(OFFICE)
    assert contract.call("serve", "ann") == 1
    assert contract.call("serve", kwargs={"name": "bob", "times": 3}) == 4
    assert contract.call("state") == [4, "bob"]


def test_a_method_may_stand_under_an_empty_key(office: Contract) -> None:
    assert office.run({"": "state"}).returned() == [5, ""]
    assert office.run({"method": "state"}).returned() == [5, ""]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"method": "nothing"}, "Office has no method nothing"),
        ({"method": "hidden"}, "Office.hidden cannot be called from outside: it is not marked"),
        ({"method": "undecorated"}, "Office.undecorated cannot be called from outside"),
        ({"method": "__init__"}, "__init__ cannot be called from outside"),
        ({"method": "#secret"}, "#secret cannot be called from outside"),
        ({"method": "address"}, "Office.address cannot be called from outside"),
        ({"method": 5}, "a method is named by a str, got int"),
        ({"method": None}, "a method is named by a str, got NoneType"),
        ({"method": "state", "args": [1]}, "Office.state() takes 1 positional argument"),
        ({"method": "serve", "args": ["a", 2]}, "Office.serve() takes 2 positional"),
        ({"method": "serve", "kwargs": {"other": 1}}, "unexpected keyword argument 'other'"),
        ({"method": "state", "args": 5}, "must be an iterable, not int"),
        ({"method": "state", "kwargs": [1]}, "must be a mapping, not list"),
        ({}, "Office has no __receive__ for a call without method"),
        ([], "a call is a map of method, args and kwargs, got list"),
    ],
)
def test_what_cannot_be_called_is_an_exception_that_says_why(
    office: Contract, call: Any, reason: str
) -> None:
    assert office.run(call).vm_error() == "exit_code 1"
    assert reason in office.last.stderr


def test_only_payable_methods_take_value(chain: Chain, office: Contract) -> None:
    assert office.call("pay", value=9) == 9
    assert office.call("pay_with_gas", value=8) == 8
    assert office.call("pay") == 0
    for call in ({"method": "serve", "args": ["x"]}, {"method": "state"}, {}):
        assert office.run(call, value=1).vm_error() == "exit_code 1"
        assert "takes no value" in office.last.stderr or "that takes value" in office.last.stderr
    assert chain.deploying(OFFICE, value=1).last.returned() is None


@pytest.mark.parametrize("how", ["raise", "rollback", "immediate"])
def test_a_user_error_ends_the_run_and_keeps_nothing(office: Contract, how: str) -> None:
    refused = office.calling("refuse", how, "no, é")
    assert refused.user_error() == "no, é"
    assert refused.result.storage_changes == []
    assert b"not reached" not in refused.ended.stdout


@pytest.mark.parametrize("how", ["raise", "immediate"])
@pytest.mark.parametrize("what", [5, None, {"code": 7, "at": [None]}])
def test_a_user_error_that_is_no_text_is_an_exception(
    office: Contract, how: str, what: Any
) -> None:
    assert office.calling("refuse", how, what).vm_error() == "exit_code 1"


def test_a_user_error_can_be_caught(office: Contract) -> None:
    assert office.calling("refuse", "caught", "no").user_error() == "again: no"


@pytest.mark.parametrize(
    ("how", "what", "code", "printed"),
    [
        ("fail", "odd", "exit_code 1", "ValueError: odd"),
        ("assert", "must not", "exit_code 1", "AssertionError: must not"),
        ("exit", 7, "exit_code 7", ""),
        ("exit", "a text", "exit_code 1", "a text"),
        ("memory", "", "exit_code 1", "MemoryError"),
    ],
)
def test_any_other_end_is_a_vm_error_with_its_traceback(
    office: Contract, how: str, what: Any, code: str, printed: str
) -> None:
    failed = office.calling("refuse", how, what)
    assert failed.vm_error() == code
    assert printed in failed.stderr
    if how in ("fail", "assert"):
        assert 'File "contract.py"' in failed.stderr


def test_the_contract_knows_its_message(chain: Chain, office: Contract) -> None:
    chain.node.balances[office.address] = 1234
    assert office.call("about", sender=BOB) == {
        "sender": BOB, "origin": ALICE, "chain": CHAIN_ID, "value": 0, "me": office.address,
        "address": office.address, "balance": 1234, "init": False,
        "at": "2026-01-02T03:04:05Z", "stack": [],
    }  # fmt: skip
    assert office.call("now") == "2026-01-02T03:04:05+00:00"


def test_values_of_every_kind_come_back_as_they_went_in(office: Contract) -> None:
    value = {"a": [None, True, -(2**300), "é", b"\0", Address(b"\7" * 20)], "b": {"": []}}
    assert office.call("echo", value) == value


def test_what_has_no_calldata_cannot_be_returned(chain: Chain) -> None:
    source = """
from genlayer import *
class C(gl.Contract):
    @gl.public.view
    def get(self, which: str):
        return {"float": 0.5, "set": {1}, "deep": [{"x": object()}]}[which]
"""
    contract = chain.deploy(source)
    assert contract.calling("get", "float").vm_error() == "exit_code 1"
    assert "float has no calldata" in contract.last.stderr
    assert contract.calling("get", "set").vm_error() == "exit_code 1"
    assert "set has no calldata" in contract.last.stderr
    assert contract.calling("get", "deep").vm_error() == "exit_code 1"
    assert "object has no calldata" in contract.last.stderr


SPECIAL = """
from genlayer import *

class Special(gl.Contract):
    log: DynArray[str]

    @gl.public.write.payable
    def __receive__(self, *args):
        self.log.append(f"received {gl.message.value}{args}")

    @gl.public.write.payable
    def __handle_undefined_method__(self, name, args, kwargs):
        self.log.append(f"{name}{args}{kwargs} with {gl.message.value}")
        return len(self.log)

    @gl.public.write.payable
    def __on_errored_message__(self):
        self.log.append(f"came back {gl.message.value}")

    @gl.public.view
    def entries(self) -> list[str]:
        return self.log
"""


def test_special_methods_take_what_fits_no_other(chain: Chain) -> None:
    contract = chain.deploy(SPECIAL)
    contract.run({}, value=5).returned()
    assert contract.call("odd", 1, kwargs={"k": 2}, value=6) == 2
    contract.run({"args": [1], "method": ""}).returned()
    contract.run({"method": "#error"}, value=7).returned()
    assert contract.run({"method": "log"}).vm_error() == "exit_code 1"
    assert contract.call("entries") == [
        "received 5()", "odd[1]{'k': 2} with 6", "received 0(1,)", "came back 7",
    ]  # fmt: skip


def test_a_contract_without_special_methods_takes_its_value_back(office: Contract) -> None:
    assert office.run({"method": "#error"}, value=7).returned() is None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("from genlayer import *\nx = 1", "there is no contract here"),
        (
            "from genlayer import *\nclass A(gl.Contract): pass\nclass B(gl.Contract): pass",
            "B: a run has one contract class, which is A here",
        ),
        (
            "from genlayer import *\nclass A(gl.Contract): pass\nclass B(A): pass",
            "B: a run has one contract class, which is A here",
        ),
        (
            "from genlayer import *\nclass A(gl.Contract):\n  @gl.public.view\n"
            "  def __init__(self): pass",
            "A.__init__ is public",
        ),
        ("from genlayer import *\nraise gl.vm.UserError('early')", "UserError(message='early')"),
        ("from genlayer import *\nclass A(gl.Contract):\n  x: u8 = = 1", "SyntaxError"),
        ("import scipy", "No module named 'scipy'"),
    ],
)
def test_a_file_that_is_no_contract_fails_with_the_reason(
    chain: Chain, source: str, reason: str
) -> None:
    failed = chain.deploying(source).last
    assert failed.vm_error() == "exit_code 1"
    assert reason in failed.stderr


def test_a_contract_class_may_have_mixins(chain: Chain) -> None:
    source = """
from genlayer import *
class Owned:
    owner: Address
    def __init__(self):
        self.owner = gl.message.sender_address
    @gl.public.view
    def get(self) -> list:
        return [self.owner, self.count]
class Counter(Owned, gl.Contract):
    count: u8
    @gl.public.write
    def put(self) -> None:
        self.count += 1
"""
    contract = chain.deploy(source)
    assert contract.call("get") == [ALICE, 0]
    contract.call("put")
    assert contract.call("get") == [ALICE, 1]


OTHER = """
from genlayer import *

class Other(gl.Contract):
    names: TreeMap[str, u32]

    @gl.public.write
    def put(self, name: str, n: int) -> None:
        self.names[name] = n

    @gl.public.view
    def get(self, name: str, *, plus: int = 0) -> int:
        if name not in self.names:
            raise gl.vm.UserError("no such name: " + name)
        return self.names[name] + plus

    @gl.public.view
    def caller(self) -> list:
        return [gl.message.sender_address, gl.message_raw["stack"]]
"""

CALLER = """
from genlayer import *

@gl.contract_interface
class Names:
    class View:
        def get(self, name: str, *, plus: int = 0) -> int: ...

class Caller(gl.Contract):
    @gl.public.view
    def ask(self, other: Address, name: str) -> list:
        lazy = Names(other).view().get.lazy(name, plus=10)
        return [gl.get_contract_at(other).view().get(name), lazy.get()]

    @gl.public.view
    def ask_carefully(self, other: str, name: str) -> str:
        try:
            return str(gl.ContractAt(Address(other)).view().get(name))
        except gl.vm.UserError as error:
            return "refused: " + error.message
        except BaseException:
            return "caught"

    @gl.public.view
    def who_calls(self, other: Address) -> list:
        return gl.get_contract_at(other).view().caller()
"""


def test_a_contract_asks_another(chain: Chain) -> None:
    other, caller = chain.deploy(OTHER), chain.deploy(CALLER)
    other.call("put", "x", 5)
    assert caller.call("ask", other.address, "x") == [5, 15]
    assert caller.calling("ask", other.address, "y").user_error() == "no such name: y"
    assert caller.call("ask_carefully", str(other.address), "y") == "refused: no such name: y"
    nobody = "0x" + "99" * 20
    failed = caller.calling("ask_carefully", nobody, "y")
    assert failed.vm_error().startswith("invalid_contract")
    failed = caller.calling("ask_carefully", str(other.address), 5)
    assert failed.vm_error() == "exit_code 1"
    assert caller.call("who_calls", other.address)[1] == [caller.address]


SANDBOX = """
from genlayer import *
import json

FACTOR = 3

def triple(x):
    return x * FACTOR

@allow_storage
class Note:
    text: str
    tags: DynArray[str]

class Boxed(gl.Contract):
    count: u32
    notes: TreeMap[Address, Note]

    def plus(self, x):
        return x + self.count

    @gl.public.write
    def run(self, base: int) -> list:
        self.count = 100
        def power(n):
            return 1 if n == 0 else base * power(n - 1)
        def fail():
            raise gl.vm.UserError(f"{base}, no")
        def crash():
            raise ValueError("crash")
        def count_up(by=7, *, more=0):
            self.count += by + more
            return self.count
        data = {"k": [base]}
        me = self.address
        notes = self.notes
        note = notes.get_or_insert_default(me)
        note.tags.append("t")
        jobs = [
            lambda: [notes[me].tags, note.tags, note.text, me, u256(base)],
            lambda: json.dumps(data), lambda: power(5), lambda: triple(base), fail, crash,
            lambda: self.plus(1), lambda: count_up(more=1),
        ]
        results = [show(gl.vm.spawn_sandbox(job)) for job in jobs]
        results.append(show(gl.vm.spawn_sandbox(count_up, allow_write_ops=True)))
        return [results, self.count]

def show(result):
    match result:
        case gl.vm.Return(): return result.calldata
        case gl.vm.UserError(): return {"user_error": result.message}
        case gl.vm.VMError(): return {"vm_error": result.message}
"""


def test_functions_run_in_a_sandbox_with_what_they_captured(chain: Chain) -> None:
    contract = chain.deploy(SANDBOX)
    results, count = contract.call("run", 2)
    crashed = {"vm_error": "exit_code 1"}
    captured = [["t"], ["t"], "", contract.address, 2]
    refused = {"user_error": "2, no"}
    assert results == [captured, '{"k": [2]}', 32, 6, refused, crashed, 101, crashed, 107]
    assert count == 107


LOADED = """
import sys
from genlayer import *

class Loaded(gl.Contract):
    names: TreeMap[Address, DynArray[str]]

    @gl.public.write
    def modules(self) -> list[str]:
        self.names[self.address] = ["x"]
        return sorted(sys.modules)
"""


def test_the_sdk_loads_nothing_that_is_slow_to_load(chain: Chain) -> None:
    loaded = set(chain.deploy(LOADED).call("modules"))
    slow = {"typing", "dataclasses", "inspect", "re", "json", "functools", "collections", "enum"}
    assert not loaded & slow
    assert len([name for name in loaded if name.startswith("genlayer.")]) < 30
