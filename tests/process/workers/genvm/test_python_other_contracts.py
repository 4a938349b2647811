"""Other contracts: calls, messages, deployments.

Source: docs/spec/07-python-sdk.md#9-other-contracts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from genvm_manager.protocol import calldata
from genvm_manager.protocol.addresses import deployed_address
from genvm_manager.protocol.calldata import Address
from tests.support.python_contracts import ALICE, BOB, CHAIN_ID, Chain, running_chain

TARGET = Address(b"\x77" * 20)
INVAL = "SystemError 2: inval"


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


MESSAGES = """
from genlayer import *

@gl.contract_interface
class Names:
    class View:
        def get(self) -> str: ...
    class Write:
        def ping(self) -> None: ...

def fails(function):
    try:
        return str(function())
    except Exception as error:
        return f"{type(error).__name__} {error}"

class Messages(gl.Contract):
    child: Address
    rows: DynArray[u8]

    @gl.public.write.payable
    def send(self, target: Address) -> list:
        self.rows.extend([1, 2])
        balances = [self.balance]
        other = gl.get_contract_at(target)
        results = [
            other.emit().ping(),
            other.emit(value=5, on="accepted").pay(1, [self.address], note="n"),
            other.emit_transfer(value=7),
            Names(target).emit().ping(rows=self.rows),
            gl.ContractAt(str(target)).emit(gas=100000).older(),
            other.emit()._send((1, 2), {}),
        ]
        balances.append(self.balance)
        return [balances, other.balance, results]

    @gl.public.view
    def about(self, target: Address) -> list:
        contracts = gl.genvm_contracts
        other = gl.get_contract_at(target)
        return [
            Names is gl.get_contract_at, other.address, isinstance(other, gl.ContractProxy),
            isinstance(other, gl.BaseContract), isinstance(self, gl.BaseContract),
            gl.ContractProxy[int, str] is not None, contracts.Contract is gl.Contract,
            [hasattr(contracts, each) for each in
             ("ON", "ErasedMethods", "GenVMContractDeclaration", "Nothing")],
            sorted(contracts.__all__),
        ]

    @gl.public.write
    def deploy(self, code: bytes) -> list:
        unknown = gl.deploy_contract(code=code, args=[1], kwargs={"k": "v"}, on="accepted")
        self.child = gl.deploy_contract(code=code, salt_nonce=3)
        return [unknown, self.child]

    @gl.public.write
    def do(self, things: list) -> list:
        c = gl.get_contract_at(Address(b"w" * 20))
        return [fails(lambda: eval(each, globals() | {"c": c})) for each in things]
"""


def test_messages_leave_in_order_and_carry_value_away(chain: Chain) -> None:
    contract = chain.deploy(MESSAGES)
    chain.node.balances[contract.address] = 100
    chain.node.balances[TARGET] = 9
    outcome = contract.calling("send", TARGET)
    assert outcome.returned() == [[100, 88], 9, [None] * 6]
    call = {"method": "pay", "args": [1, [contract.address]], "kwargs": {"note": "n"}}
    sent: list[Any] = [
        ({"method": "ping"}, 0, "finalized"),
        (call, 5, "accepted"),
        ({}, 7, "finalized"),
        ({"method": "ping", "kwargs": {"rows": [1, 2]}}, 0, "finalized"),
        ({"method": "older"}, 0, "finalized"),
        ({"method": "_send", "args": [[1, 2], {}]}, 0, "finalized"),
    ]
    assert outcome.result.emissions == [
        {
            "type": "PostMessage",
            "address": TARGET,
            "calldata": calldata.encode(call),
            "value": value,
            "on": on,
        }
        for call, value, on in sent
    ]


def test_the_names_of_other_contracts(chain: Chain) -> None:
    contract = chain.deploy(MESSAGES)
    assert contract.call("about", TARGET) == [
        True, TARGET, True, True, True, True, True, [True, True, True, False],
        ["BaseContract", "Contract", "ContractProxy", "contract_interface", "deploy_contract",
         "get_contract_at"],
    ]  # fmt: skip


def test_a_deployment_with_a_salt_has_its_address_at_once(chain: Chain) -> None:
    contract = chain.deploy(MESSAGES)
    outcome = contract.calling("deploy", b"code")
    child = deployed_address(contract.address, 3, CHAIN_ID)
    assert outcome.returned() == [None, child]
    common = {"type": "DeployContract", "code": b"code", "value": 0}
    constructor = calldata.encode({"args": [1], "kwargs": {"k": "v"}})
    assert outcome.result.emissions == [
        common | {"calldata": constructor, "on": "accepted", "salt_nonce": 0},
        common | {"calldata": calldata.encode({}), "on": "finalized", "salt_nonce": 3},
    ]


REFUSED = {
    "c.emit(on='later').foo()": INVAL,
    "c.emit(on=None).foo()": INVAL,
    "c.emit(value=-1).foo()": INVAL,
    "c.emit(value=2**256).foo()": INVAL,
    "c.emit(value='1').foo()": INVAL,
    "c.emit(value=None).foo()": INVAL,
    "c.emit(value=True).foo()": INVAL,
    "c.emit(value=11).foo()": "SystemError 7: inbalance",
    "c.emit_transfer(value=11)": "SystemError 7: inbalance",
    "c.emit_transfer(value=2**256)": INVAL,
    "c.emit_transfer(value=1, on='x')": INVAL,
    "c.emit_transfer(value=0)": "ValueError",
    "c.emit_transfer(value=-1)": "ValueError",
    "c.emit_transfer(1)": "TypeError",
    "c.emit_transfer()": "TypeError",
    "c.emit(1)": "TypeError",
    "c.emit(gas=1)": "TypeError",
    "c.view(1)": "TypeError",
    "c.view(state=2).foo()": "AttributeError",
    "gl.get_contract_at('0x' + '01' * 20)": "TypeError",
    "gl.get_contract_at(b'w' * 20)": "TypeError",
    "gl.get_contract_at(None)": "TypeError",
    "gl.deploy_contract(b'')": "TypeError",
    "gl.deploy_contract(code='text')": INVAL,
    "gl.deploy_contract(code=None)": INVAL,
    "gl.deploy_contract(code=b'', on='x')": INVAL,
    "gl.deploy_contract(code=b'', value=-1)": INVAL,
    "gl.deploy_contract(code=b'', value=11)": "SystemError 7: inbalance",
    "gl.deploy_contract(code=b'', salt_nonce=-1)": INVAL,
    "gl.deploy_contract(code=b'', salt_nonce=2**256)": INVAL,
    "gl.deploy_contract(code=b'', salt_nonce='1')": INVAL,
}


def test_what_does_not_fit_is_refused(chain: Chain) -> None:
    contract = chain.deploy(MESSAGES)
    chain.node.balances[contract.address] = 10
    answers = dict(zip(REFUSED, contract.call("do", list(REFUSED)), strict=True))
    assert {
        each: answer if answer.startswith("SystemError") else answer.split()[0]
        for each, answer in answers.items()
    } == REFUSED
    assert contract.last.result.emissions == []


def test_a_refusal_says_what_the_machine_takes(chain: Chain) -> None:
    source = """
from genlayer import *
class C(gl.Contract):
    @gl.public.write
    def f(self, target: Address):
        gl.get_contract_at(target).emit(on="later").foo()
"""
    failed = chain.deploy(source).calling("f", TARGET)
    assert failed.vm_error() == "exit_code 1"
    told = "2: inval\nPostMessage: value is 0 to 2**256-1, and on is 'finalized' or 'accepted'"
    assert told in failed.stderr


RAW: dict[str, dict[str, Any]] = {
    "PostMessage": {"address": TARGET, "calldata": {}, "value": 0, "on": "finalized"},
    "DeployContract": {
        "calldata": {}, "code": b"", "value": 0, "on": "finalized", "salt_nonce": 0,
    },
    "EthSend": {"address": TARGET, "calldata": b"", "value": 0},
    "EmitEvent": {"topics": [], "blob": {}},
    "CallContract": {"address": TARGET, "calldata": {}, "state": 2},
    "EthCall": {"address": TARGET, "calldata": b""},
}  # fmt: skip
WRONG: dict[str, list[Any]] = {
    "address": [None, b"w" * 20, "0x" + "77" * 20],
    "value": [-1, 2**256, "0", True],
    "on": ["later", "", None, 1, b"finalized"],
    "code": ["text", None, [1]],
    "salt_nonce": [-1, 2**256, "1", False],
    "topics": [None, b"t" * 32, [b""], [bytes(33)], [bytes(32)] * 5, ["t" * 32], {}],
    "blob": [None, [], b"", 1],
    "state": [3, -1, "later", b"", True, None, [2], 2**64],
}
WRONG_FOR_ETHEREUM: dict[str, list[Any]] = {"calldata": [None, "0x", {}, []]}


@pytest.mark.parametrize("request_name", list(RAW))
def test_a_request_with_a_field_of_another_shape_is_refused(
    chain: Chain, request_name: str
) -> None:
    source = """
from genlayer import *

def fails(request):
    try:
        gl.wasi.gl_call(gl.calldata.encode(request))
    except SystemError as error:
        return str(error)

class Raw(gl.Contract):
    @gl.public.write
    def ask(self, requests: list) -> list:
        return [fails(each) for each in requests]
"""
    contract = chain.deploy(source)
    right = RAW[request_name]
    wrong = WRONG | (WRONG_FOR_ETHEREUM if request_name.startswith("Eth") else {})
    requests: list[Any] = [
        {request_name: right | {name: value}}
        for name, values in wrong.items()
        if name in right
        for value in values
    ]
    requests += [{request_name: None}, {request_name: []}, {request_name: {}}]
    answers = contract.call("ask", requests)
    accepted = [
        each for each, answer in zip(requests, answers, strict=True) if answer != "2: inval"
    ]
    assert accepted == []


OTHER = """
from genlayer import *

class Other(gl.Contract):
    n: u32

    @gl.public.write
    def put(self, n: int):
        self.n = n

    @gl.public.view
    def echo(self, *args, **kwargs):
        return [list(args), kwargs]

    @gl.public.view
    def get(self):
        print("asked")
        return self.n

    @gl.public.view
    def refuse(self):
        raise gl.vm.UserError("no")

    @gl.public.view
    def caller(self) -> list:
        message, raw = gl.message, gl.message_raw
        return [
            message.contract_address, message.sender_address, message.origin_address,
            message.value, message.chain_id, raw["stack"], raw["is_init"], raw["entry_kind"],
        ]

    @gl.public.view
    def further(self, other: Address):
        return gl.get_contract_at(other).view().caller()

    @gl.public.write
    def tries(self) -> list:
        return [fails(each) for each in (
            lambda: setattr(self, "n", 1),
            lambda: gl.get_contract_at(self.address).emit().get(),
            lambda: gl.get_contract_at(self.address).emit_transfer(value=1),
            lambda: gl.deploy_contract(code=b""),
            lambda: gl.advanced.emit_raw_event([], {}),
        )]

def fails(function):
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__} {error}"
"""

CALLER = """
from genlayer import *
from genlayer.py.public_abi import StorageType

class Caller(gl.Contract):
    @gl.public.view
    def echo(self, other: Address) -> list:
        view = gl.get_contract_at(other).view()
        return [view.echo(), view.echo(1, "x", k=2), view.echo.lazy([None]).get()]

    @gl.public.view
    def lazily(self, other: Address) -> list:
        lazy = gl.get_contract_at(other).view().get.lazy()
        print("between")
        refused = gl.get_contract_at(other).view().refuse.lazy()
        results = [lazy.get(), lazy.get()]
        for _ in range(2):
            try:
                refused.get()
            except gl.vm.UserError as error:
                results.append(error.message)
        return results

    @gl.public.view
    def states(self, other: Address) -> list:
        return [gl.get_contract_at(other).view(state=each).get() for each in StorageType]

    @gl.public.view
    def caller(self, other: Address) -> list:
        return gl.get_contract_at(other).view().caller()

    @gl.public.view
    def through(self, one: Address, another: Address) -> list:
        return gl.get_contract_at(one).view().further(another)

    @gl.public.write
    def tries(self, other: Address) -> list:
        return gl.get_contract_at(other).view().tries()

    @gl.public.view
    def forbidden(self, other: Address) -> str:
        try:
            gl.get_contract_at(other).view().get()
        except SystemError as error:
            return str(error)
"""


def test_a_view_returns_what_the_other_contract_returns(chain: Chain) -> None:
    other, caller = chain.deploy(OTHER), chain.deploy(CALLER)
    other.call("put", 5)
    assert caller.call("echo", other.address) == [[[], {}], [[1, "x"], {"k": 2}], [[[None]], {}]]
    assert caller.call("states", other.address) == [5, 5, 5]
    assert caller.call("lazily", other.address) == [5, 5, "no", "no"]
    assert caller.last.ended.stdout == b"asked\nbetween\n"


def test_a_contract_that_is_asked_sees_who_asks(chain: Chain) -> None:
    other, another, caller = chain.deploy(OTHER), chain.deploy(OTHER), chain.deploy(CALLER)
    seen = [other.address, BOB, ALICE, 0, CHAIN_ID, [caller.address], False, 0]
    assert caller.call("caller", other.address, sender=BOB) == seen
    through = caller.call("through", other.address, another.address)
    assert through[0] == another.address
    assert through[5] == [caller.address, other.address]


SHIPPED = """
from genlayer import *

@gl.evm.contract_interface
class Token:
    class View: pass
    class Write:
        def ping(self, a: u8, /): ...

class Moved(gl.Event):
    def __init__(self, a, /): ...

class Shipped(gl.Contract):
    @gl.public.write
    def send(self, target: Address) -> list:
        other, token, event = gl.get_contract_at(target), Token(target), Moved(1, self=2)
        methods, token_methods = other.emit(value=1, on="accepted"), token.emit()
        def work():
            methods.ping(k=1)
            token_methods.ping(5)
            event.emit()
            return [other.balance, token.balance, other.address]
        return gl.vm.unpack_result(gl.vm.spawn_sandbox(work, allow_write_ops=True))
"""


def test_other_contracts_are_known_in_sandboxes(chain: Chain) -> None:
    contract = chain.deploy(SHIPPED)
    chain.node.balances |= {contract.address: 10, TARGET: 9}
    outcome = contract.calling("send", TARGET)
    assert outcome.returned() == [9, 9, TARGET]
    message, to_ethereum, event = outcome.result.emissions
    assert calldata.decode(message["calldata"]) == {"method": "ping", "kwargs": {"k": 1}}
    assert (message["value"], message["on"]) == (1, "accepted")
    assert to_ethereum["calldata"][4:] == bytes(31) + b"\5"
    assert event["blob"] == {"a": 1, "self": 2}


def test_a_contract_that_is_asked_changes_and_sends_nothing(chain: Chain) -> None:
    other, caller = chain.deploy(OTHER), chain.deploy(CALLER)
    assert caller.call("tries", other.address) == ["SystemError 6: forbidden"] * 5
    assert caller.last.result.emissions == []
    assert caller.call("forbidden", other.address, permissions="rwsn") == "6: forbidden"
