"""What leaves a run of a Python contract: events, messages, deployments, calls of Ethereum."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from genvm_manager.protocol import calldata
from genvm_manager.protocol.addresses import deployed_address
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.keccak import keccak256
from tests.support.python_contracts import CHAIN_ID, Chain, running_chain


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


TARGET = Address(b"\x77" * 20)

EVENTS = """
from genlayer import *

class Moved(gl.Event):
    def __init__(self, source: Address, amount: u256, label: str, /, **blob): ...

class Plain(gl.Event):
    name = "Renamed"
    def __init__(self, /): ...

class Events(gl.Contract):
    rows: DynArray[u8]

    @gl.public.write
    def emit(self) -> None:
        self.rows.extend([1, 2])
        Moved(self.address, 300, "l" * 40, rows=self.rows, more={"x": None}).emit()
        Plain().emit()
        gl.advanced.emit_raw_event([b"t" * 32], {})

    @gl.public.write
    def emit_wrongly(self, how: str) -> None:
        match how:
            case "count": Moved(self.address)
            case "twice": Moved(self.address, 1, "x", amount=2)
            case "topic": gl.advanced.emit_raw_event([b"short"], {})
            case "five": gl.advanced.emit_raw_event([bytes(32)] * 5, {})
            case "slash":
                class Wrong(gl.Event):
                    def __init__(self, source): ...

    @gl.public.view
    def emit_from_view(self) -> None:
        Plain().emit()
"""


def test_events_have_their_signature_and_indexed_values_as_topics(chain: Chain) -> None:
    contract = chain.deploy(EVENTS)
    outcome = contract.calling("emit")
    outcome.returned()
    label = calldata.encode("l" * 40)
    assert outcome.result.emissions == [
        {
            "type": "EmitEvent",
            "topics": [
                keccak256(b"Moved(amount,label,source)"),
                calldata.encode(300).ljust(32, b"\0"),
                keccak256(label),
                calldata.encode(contract.address).ljust(32, b"\0"),
            ],
            "blob": {
                "source": contract.address,
                "amount": 300,
                "label": "l" * 40,
                "rows": [1, 2],
                "more": {"x": None},
            },
        },
        {"type": "EmitEvent", "topics": [keccak256(b"Renamed()")], "blob": {}},
        {"type": "EmitEvent", "topics": [b"t" * 32], "blob": {}},
    ]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("count", "Moved has the indexed values source, amount, label; got 1"),
        ("twice", "Moved: amount is given twice"),
        (
            "topic",
            "SystemError: 2: inval\nEmitEvent: an event has at most 4 topics of 32 bytes each",
        ),
        (
            "five",
            "SystemError: 2: inval\nEmitEvent: an event has at most 4 topics of 32 bytes each",
        ),
        ("slash", "Wrong: write `/` after the indexed parameters"),
    ],
)
def test_an_ill_made_event_says_what_is_wrong(chain: Chain, how: str, reason: str) -> None:
    contract = chain.deploy(EVENTS)
    failed = contract.calling("emit_wrongly", how)
    assert failed.vm_error() == "exit_code 1"
    assert reason in failed.stderr


MESSAGES = """
from genlayer import *

class Messages(gl.Contract):
    child: Address

    @gl.public.write.payable
    def send(self, target: Address) -> list:
        balances = [self.balance]
        other = gl.get_contract_at(target)
        other.emit().ping()
        other.emit(value=5, on="accepted").pay(1, [self.address], note="n")
        other.emit_transfer(value=7)
        balances.append(self.balance)
        return [balances, other.balance]

    @gl.public.write
    def deploy(self, code: bytes) -> list:
        unknown = gl.deploy_contract(code=code, args=[1], kwargs={"k": "v"}, on="accepted")
        self.child = gl.deploy_contract(code=code, salt_nonce=3)
        return [unknown, self.child]

    @gl.public.write
    def overspend(self, target: Address) -> None:
        gl.get_contract_at(target).emit_transfer(value=10**30)

    @gl.public.write
    def wrong_moment(self, target: Address) -> None:
        gl.get_contract_at(target).emit(on="soon").ping()
"""


def test_messages_leave_in_order_and_carry_value_away(chain: Chain) -> None:
    contract = chain.deploy(MESSAGES)
    chain.node.balances[contract.address] = 100
    chain.node.balances[TARGET] = 9
    outcome = contract.calling("send", TARGET)
    assert outcome.returned() == [[100, 88], 9]
    call = {"method": "pay", "args": [1, [contract.address]], "kwargs": {"note": "n"}}
    sent = [
        {"calldata": calldata.encode({"method": "ping"}), "value": 0, "on": "finalized"},
        {"calldata": calldata.encode(call), "value": 5, "on": "accepted"},
        {"calldata": calldata.encode({}), "value": 7, "on": "finalized"},
    ]
    expected = [each | {"type": "PostMessage", "address": TARGET} for each in sent]
    assert outcome.result.emissions == expected


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


def test_a_message_cannot_carry_more_than_there_is(chain: Chain) -> None:
    contract = chain.deploy(MESSAGES)
    failed = contract.calling("overspend", TARGET)
    assert failed.vm_error() == "exit_code 1"
    assert "inbalance" in failed.stderr
    assert contract.calling("wrong_moment", TARGET).vm_error() == "exit_code 1"
    assert "on is one of finalized, accepted, got 'soon'" in contract.last.stderr


ETHEREUM = """
from genlayer import *
from typing import Literal

@gl.evm.contract_interface
class Token:
    class View:
        def balance_of(self, owner: Address) -> u256: ...
        def names(
            self, of: DynArray[str], flags: Array[bool, Literal[2]]
        ) -> tuple[str, list[i8]]: ...
    class Write:
        def transfer(self, to: Address, amount: u256, /) -> bool: ...
        def note(self, text: str, tag: gl.evm.bytes4, rows: list[tuple[u8, bytes]]): ...

@gl.evm.contract_interface
class Account:
    class View: pass
    class Write: pass

class Ethereum(gl.Contract):
    @gl.public.write
    def send(self, to: Address) -> None:
        token = Token(to)
        token.emit().transfer(to, u256(1000))
        token.emit(value=2).note("hé", b"abcd", [(1, b"x"), (2, b"")])
        Account(to).emit_transfer(value=3)

    @gl.public.view
    def ask(self, to: Address) -> list:
        view = Token(to).view()
        return [view.balance_of(to), view.names.lazy(["a", "bc"], [True, False]).get()]

    @gl.public.view
    def wrong(self, to: Address) -> None:
        Token(to).view().balance_of("0x")
"""


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def text(value: bytes) -> bytes:
    return word(len(value)) + value.ljust(32, b"\0")


ADDRESS_WORD = TARGET.as_bytes.rjust(32, b"\0")
NOTE = (
    keccak256(b"note(string,bytes4,(uint8,bytes)[])")[:4]
    + word(96) + b"abcd".ljust(32, b"\0") + word(160)
    + text("hé".encode())
    + word(2) + word(64) + word(192)
    + word(1) + word(64) + text(b"x")
    + word(2) + word(64) + word(0)
)  # fmt: skip


def test_messages_to_ethereum_are_abi_encoded(chain: Chain) -> None:
    contract = chain.deploy(ETHEREUM)
    chain.node.balances[contract.address] = 100
    outcome = contract.calling("send", TARGET)
    outcome.returned()
    transfer = keccak256(b"transfer(address,uint256)")[:4] + ADDRESS_WORD + word(1000)
    sent = [(transfer, 0), (NOTE, 2), (b"", 3)]
    assert outcome.result.emissions == [
        {"type": "EthSend", "address": TARGET, "calldata": data, "value": value}
        for data, value in sent
    ]


def test_answers_of_ethereum_are_abi_decoded(chain: Chain) -> None:
    balance = keccak256(b"balance_of(address)")[:4] + ADDRESS_WORD
    names = (
        keccak256(b"names(string[],bool[2])")[:4]
        + word(96) + word(1) + word(0)
        + word(2) + word(64) + word(128) + text(b"a") + text(b"bc")
    )  # fmt: skip
    answer = (
        word(32) + word(64) + word(128) + text(b"ok") + word(2) + word(5) + b"\xff" * 31 + b"\xfe"
    )
    chain.node.eth_answers |= {balance: word(2**200), names: answer}
    contract = chain.deploy(ETHEREUM)
    assert contract.call("ask", TARGET) == [2**200, ["ok", [5, -2]]]
    assert contract.calling("wrong", TARGET).vm_error() == "exit_code 1"
    assert "Address expected, got str" in contract.last.stderr


def test_a_view_emits_nothing(chain: Chain) -> None:
    contract = chain.deploy(EVENTS)
    failed = contract.calling("emit_from_view", permissions="r")
    assert failed.vm_error() == "exit_code 1"
    assert "forbidden" in failed.stderr
