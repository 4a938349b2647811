"""`gl.evm`: the ABI, calls of Ethereum contracts and messages to them.

Source: docs/spec/07-python-sdk.md#10-evm-contracts-glevm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.keccak import keccak256
from tests.conftest import PROJECT
from tests.support.python_contracts import Chain, Contract, running_chain

TARGET = Address(b"\x77" * 20)
ADDRESS_WORD = TARGET.as_bytes.rjust(32, b"\0")
VECTORS = json.loads((PROJECT / "tests/contract/evm-abi-vectors.json").read_text())


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


def word(value: int) -> bytes:
    return (value % 2**256).to_bytes(32, "big")


def words(*values: int) -> bytes:
    return b"".join(map(word, values))


def text(value: bytes) -> bytes:
    return word(len(value)) + value.ljust(-(-len(value) // 32) * 32, b"\0")


CODEC = """
from genlayer import *
from typing import Literal, NewType, Sequence
import typing

def plain(value):
    if isinstance(value, memoryview):
        return bytes(value)
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value

class Codec(gl.Contract):
    @gl.public.view
    def do(self, things: list) -> list:
        results = []
        for thing in things:
            try:
                results.append(plain(eval(thing)))
            except Exception as error:
                results.append(type(error).__name__)
        return results

    @gl.public.view
    def vectors(self, vectors: list) -> list:
        results = []
        for annotation, value in vectors:
            kind, value = eval(annotation), eval(value)
            encoded = gl.evm.encode(kind, value)
            same = gl.evm.decode(kind, encoded) == value
            results.append([gl.evm.type_name_of(kind), encoded, same])
        return results

    @gl.public.view
    def decoded(self, vectors: list) -> list:
        return [
            gl.evm.decode(eval(annotation), data) == eval(value)
            for annotation, data, value in vectors
        ]
"""


@pytest.fixture(scope="module")
def codec(chain: Chain) -> Contract:
    return chain.deploy(CODEC)


def test_values_are_encoded_and_decoded_as_another_program_does_it(codec: Contract) -> None:
    vectors = VECTORS["both_ways"]
    done = codec.call("vectors", [[each["type"], each["value"]] for each in vectors])
    for vector, (name, encoded, same) in zip(vectors, done, strict=True):
        assert (name, encoded.hex(), same) == (vector["name"], vector["hex"], True), vector


def test_answers_with_tuples_in_tuples_are_decoded_as_ethereum_writes_them(codec: Contract) -> None:
    vectors = VECTORS["decoded"]
    given = [[each["type"], bytes.fromhex(each["hex"]), each["value"]] for each in vectors]
    same = codec.call("decoded", given)
    assert [each["type"] for each, is_same in zip(vectors, same, strict=True) if not is_same] == []


NAMES: dict[str, str] = {
    "u8": "uint8",
    "u256": "uint256",
    "i24": "int24",
    "bool": "bool",
    "Address": "address",
    "str": "string",
    "bytes": "bytes",
    "gl.evm.bytes1": "bytes1",
    "gl.evm.bytes32": "bytes32",
    "list[list[u8]]": "uint8[][]",
    "Sequence[bool]": "bool[]",
    "typing.List[str]": "string[]",
    "DynArray[Address]": "address[]",
    "Array[bytes, Literal[3]]": "bytes[3]",
    "Array[list[u8], Literal[2]]": "uint8[][2]",
    "gl.SizedArray[u8, Literal[2]]": "uint8[2]",
    "gl.SizedArray[str, 2]": "string[2]",
    "list[Array[u8, Literal[2]]]": "uint8[2][]",
    "tuple[u8, str]": "(uint8,string)",
    "tuple[()]": "()",
    "tuple[gl.evm.InplaceTuple, u8, str]": "(uint8,string)",
    "tuple[tuple[u8], list[tuple[bool, str]]]": "((uint8),(bool,string)[])",
}
NO_NAMES = [
    "int", "bigint", "dict", "dict[str, u8]", "float", "None", "list", "tuple", "object", "'u8'",
    "tuple[u8, ...]", "set[u8]", "TreeMap[str, u8]", "NewType('N', int)", "u8 | None", "[u8]",
]  # fmt: skip


def test_types_have_the_names_that_signatures_spell(codec: Contract) -> None:
    assert codec.call("do", [f"gl.evm.type_name_of({each})" for each in NAMES]) == list(
        NAMES.values()
    )
    refused = codec.call("do", [f"gl.evm.type_name_of({each})" for each in NO_NAMES])
    assert refused == ["TypeError"] * len(NO_NAMES)


PUBLISHED = [
    # The examples of the Contract ABI Specification of Solidity.
    (
        "MethodEncoder('baz', (u32, bool), bool).encode_call((69, True))",
        "cdcd77c0" + words(69, 1).hex(),
    ),
    (
        "MethodEncoder('bar', [Array[gl.evm.bytes3, Literal[2]]], None)"
        ".encode_call([[b'abc', b'def']])",
        "fce353f6" + (b"abc".ljust(32, b"\0") + b"def".ljust(32, b"\0")).hex(),
    ),
    (
        "MethodEncoder('sam', (bytes, bool, list[u256]), None)"
        ".encode_call((b'dave', True, [1, 2, 3]))",
        "a5643bf2" + (words(0x60, 1, 0xA0) + text(b"dave") + words(3, 1, 2, 3)).hex(),
    ),
    (
        "MethodEncoder('f', (u256, list[u32], gl.evm.bytes10, bytes), None)"
        ".encode_call((0x123, [0x456, 0x789], b'1234567890', b'Hello, world!'))",
        "8be65246"
        + (
            words(0x123, 0x80)
            + b"1234567890".ljust(32, b"\0")
            + words(0xE0, 2, 0x456, 0x789)
            + text(b"Hello, world!")
        ).hex(),
    ),
    (
        "MethodEncoder('g', (list[list[u256]], list[str]), None)"
        ".encode_call(([[1, 2], [3]], ['one', 'two', 'three']))",
        "2289b18c"
        + (
            words(0x40, 0x140, 2, 0x40, 0xA0, 2, 1, 2, 1, 3)
            + words(3, 0x60, 0xA0, 0xE0)
            + text(b"one")
            + text(b"two")
            + text(b"three")
        ).hex(),
    ),
]


def test_calls_are_those_that_the_specification_of_the_abi_shows(codec: Contract) -> None:
    encoded = codec.call("do", [f"gl.evm.{expression}" for expression, _ in PUBLISHED])
    assert [each.hex() for each in encoded] == [expected for _, expected in PUBLISHED]


ENCODED: dict[str, bytes] = {
    "u8, 300": word(300),
    "i8, -300": word(-300),
    "u8, True": word(1),
    "bool, 5": word(1),
    "bool, 0": word(0),
    "bytes, bytearray(b'ab')": word(32) + text(b"ab"),
    "gl.evm.bytes2, memoryview(b'ab')": b"ab".ljust(32, b"\0"),
    # A dynamic value at the top has its offset in front, a tuple "in place" has none.
    "str, ''": words(32, 0),
    "tuple[u8, str], (1, 'a')": words(32, 1, 64) + text(b"a"),
    "tuple[gl.evm.InplaceTuple, u8, str], (1, 'a')": words(1, 64) + text(b"a"),
    "Array[str, Literal[1]], ['a']": words(32, 32) + text(b"a"),
    "tuple[u8, u8], (1, 2)": words(1, 2),
    # A static tuple is written behind the heads of what follows it, wherever it is a part.
    "tuple[tuple[u8, u8], u8], ((1, 2), 3)": words(3, 1, 2),
    "tuple[u8, tuple[u8, u8], u8], (1, (2, 3), 4)": words(1, 4, 2, 3),
    "tuple[tuple[u8], tuple[u8], u8], ((1,), (2,), 3)": words(3, 1, 2),
    "tuple[tuple[u8, tuple[u8], u8], u8], ((1, (2,), 3), 4)": words(4, 1, 3, 2),
    "tuple[gl.evm.InplaceTuple, tuple[u8, u8], str, u8], ((1, 2), 'a', 3)": (
        words(128, 3, 1, 2) + text(b"a")
    ),
    # Not so in arrays.
    "list[tuple[u8, u8]], [(1, 2), (3, 4)]": words(32, 2, 1, 2, 3, 4),
    "tuple[Array[tuple[u8, u8], Literal[2]], u8], ([(1, 2), (3, 4)], 5)": words(1, 2, 3, 4, 5),
}


def test_what_is_peculiar_to_line_v0_2_is_encoded_so(codec: Contract) -> None:
    encoded = codec.call("do", [f"gl.evm.encode({each})" for each in ENCODED])
    assert dict(zip(ENCODED, encoded, strict=True)) == ENCODED


REFUSED = {
    "encode(u8, -1)": "OverflowError",
    "encode(u256, 2**256)": "OverflowError",
    "encode(i256, 2**255)": "OverflowError",
    "encode(u8, '1')": "TypeError",
    "encode(Address, '0x')": "TypeError",
    "encode(str, b'x')": "TypeError",
    "encode(bytes, 'x')": "TypeError",
    "encode(gl.evm.bytes4, b'abc')": "AssertionError",
    "encode(gl.evm.bytes4, b'abcde')": "AssertionError",
    "encode(tuple[u8, u8], (1,))": "AssertionError",
    "encode(Array[u8, Literal[2]], [1])": "AssertionError",
    "encode(int, 1)": "TypeError",
    "MethodEncoder('f', (u8,), None).encode_call(())": "AssertionError",
    "MethodEncoder('f', (u8,), None).encode_call((1, 2))": "AssertionError",
    "MethodEncoder('f', (int,), None)": "TypeError",
    "decode(u8, b'1')": "ValueError",
    "decode(str, bytes(31))": "ValueError",
    f"decode(str, {words(32, 2**255)!r})": "ValueError",
    f"decode(str, {words(2**255)!r})": "ValueError",
    f"decode(str, {words(32, 33) + bytes(32)!r})": "ValueError",
    f"decode(list[u8], {words(32, 3, 1, 2)!r})": "ValueError",
}


def test_values_that_do_not_fit_are_refused(codec: Contract) -> None:
    refused = codec.call("do", [f"gl.evm.{each}" for each in REFUSED])
    assert dict(zip(REFUSED, refused, strict=True)) == REFUSED


def test_methods_have_a_selector_and_decode_what_is_returned(codec: Contract) -> None:
    done = codec.call(
        "do",
        [
            "gl.evm.signature_of('f', tuple[u8, tuple[i8, bytes]])",
            "gl.evm.selector_of('transfer', tuple[Address, u256])",
            f"gl.evm.MethodEncoder('f', (), u8).decode_ret({word(300)!r})",
            f"gl.evm.MethodEncoder('f', (), i8).decode_ret({word(-3)!r})",
            "gl.evm.MethodEncoder('f', (), None).decode_ret(b'')",
            "gl.evm.MethodEncoder('f', (), type(None)).decode_ret(b'xyz')",
            f"type(gl.evm.decode(gl.evm.bytes4, {b'abcd'.ljust(32)!r})).__name__",
            f"gl.evm.decode(tuple[gl.evm.InplaceTuple, str, u8], {words(64, 5) + text(b'a')!r})",
            "gl.evm.bytes4('any') + gl.evm.bytes4.__name__ + repr(gl.evm.bytes4)",
            "gl.evm.bytes4.__supertype__ is bytes",
        ],
    )
    transfer = keccak256(b"transfer(address,uint256)")[:4]
    assert done == [
        "f(uint8,(int8,bytes))", transfer, 300, -3, None, None, "memoryview", ["a", 5],
        "anybytes4genlayer.py.evm.bytes4", True,
    ]  # fmt: skip


ETHEREUM = """
from genlayer import *
from typing import Literal

@gl.evm.contract_interface
class Token:
    class View:
        def balance_of(self, owner: Address, /) -> u256: ...
        def names(
            self, of: DynArray[str], flags: Array[bool, Literal[2]], /
        ) -> tuple[str, list[i8]]: ...
        def poke(self): ...
    class Write:
        def transfer(self, to: Address, amount: "u256", /) -> bool: ...
        def note(self, text: str, tag: gl.evm.bytes4, rows: list[tuple[u8, bytes]], /): ...

@gl.evm.contract_interface
class Account:
    class View: pass
    class Write: pass

def fails(function):
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__} {error}"

class Ethereum(gl.Contract):
    @gl.public.write
    def send(self, to: Address) -> list:
        token = Token(to)
        sent = [token.emit().transfer(to, u256(1000))]
        token.emit(value=2).note("hé", b"abcd", [(1, b"x"), (2, b"")])
        Account(to).emit_transfer(value=3)
        Account(to).emit_transfer()
        is_proxy = isinstance(token, gl.evm.ContractProxy)
        return [*sent, self.balance, token.balance, token.address, is_proxy]

    @gl.public.view
    def ask(self, to: Address) -> list:
        view = Token(to).view()
        return [
            view.balance_of(to), view.names.lazy(["a", "bc"], [True, False]).get(), view.poke()
        ]

    @gl.public.write
    def wrong(self, to: Address) -> list:
        token = Token(to)
        return [fails(each) for each in (
            lambda: token.view().balance_of("0x"),
            lambda: token.view().transfer(to, 1),
            lambda: token.emit().balance_of(to),
            lambda: token.emit().transfer(to),
            lambda: token.emit().transfer(to, amount=1),
            lambda: token.emit().transfer(to, -1),
            lambda: token.emit_transfer(value=10**30),
            lambda: token.emit_transfer(value=-1),
            lambda: token.emit(on="accepted"),
        )]

    @gl.public.view
    def declare(self, methods: list) -> list:
        results = []
        for method in methods:
            source = f"class I:\\n    class View: pass\\n    class Write:\\n        {method}: ..."
            names = {"gl": gl, "u8": u8}
            exec(source, names)
            results.append(fails(lambda: gl.evm.contract_interface(names["I"])))
        return results
"""

NOTE = (
    keccak256(b"note(string,bytes4,(uint8,bytes)[])")[:4]
    + word(96) + b"abcd".ljust(32, b"\0") + word(160)
    + text("hé".encode())
    + words(2, 64, 192, 1, 64) + text(b"x") + words(2, 64, 0)
)  # fmt: skip


def test_messages_to_ethereum_are_abi_encoded_and_carry_no_value(chain: Chain) -> None:
    contract = chain.deploy(ETHEREUM)
    chain.node.balances[contract.address] = 100
    chain.node.balances[TARGET] = 7
    outcome = contract.calling("send", TARGET)
    assert outcome.returned() == [None, 97, 7, TARGET, True]
    transfer = keccak256(b"transfer(address,uint256)")[:4] + ADDRESS_WORD + word(1000)
    sent = [(transfer, 0), (NOTE, 0), (b"", 3), (b"", 0)]
    assert outcome.result.emissions == [
        {"type": "EthSend", "address": TARGET, "calldata": data, "value": value}
        for data, value in sent
    ]


def test_answers_of_ethereum_are_abi_decoded(chain: Chain) -> None:
    balance = keccak256(b"balance_of(address)")[:4] + ADDRESS_WORD
    names = (
        keccak256(b"names(string[],bool[2])")[:4]
        + words(96, 1, 0)
        + words(2, 64, 128) + text(b"a") + text(b"bc")
    )  # fmt: skip
    answer = words(32, 64, 128) + text(b"ok") + words(2, 5, -2)
    poke = keccak256(b"poke()")[:4]
    chain.node.eth_answers |= {balance: word(2**200), names: answer, poke: b"whatever"}
    contract = chain.deploy(ETHEREUM)
    assert contract.call("ask", TARGET) == [2**200, ["ok", [5, -2]], None]


def test_calls_that_do_not_fit_the_interface_are_refused(chain: Chain) -> None:
    contract = chain.deploy(ETHEREUM)
    failures = contract.call("wrong", TARGET)
    assert failures[0] == "TypeError Address expected, got str"
    assert "it has balance_of, names, poke" in failures[1]
    assert failures[3] == "AssertionError (address,uint256) has 2 values, got 1"
    assert [each.split()[0] for each in failures] == [
        "TypeError", "AttributeError", "AttributeError", "AssertionError", "TypeError",
        "OverflowError", "SystemError", "SystemError", "TypeError",
    ]  # fmt: skip
    assert [each for each in failures if each.startswith("SystemError")] == [
        "SystemError 7: inbalance",
        "SystemError 2: inval",
    ]
    assert contract.last.result.emissions == []


DECLARED: dict[str, Any] = {
    "def m(self)": None,
    "def m(self, /) -> int": None,
    "def m(self, a: u8, /) -> u8": None,
    "def m(self, a: u8)": "AssertionError",
    "def m(self, a, /)": "AssertionError",
    "def m(self, a: u8 = 1, /)": "AssertionError",
    "def m(self, *a: u8)": "AssertionError",
    "def m(self, *, a: u8)": "AssertionError",
    "def m(self, **a: u8)": "AssertionError",
    "def m(me)": "AssertionError",
    "def m()": "AssertionError",
    "def m(self, a: int, /)": "TypeError",
    "def __init__(self, a)": None,
}


def test_an_interface_is_checked_where_it_is_declared(chain: Chain) -> None:
    contract = chain.deploy(ETHEREUM)
    failures = contract.call("declare", list(DECLARED))
    found = [each and each.split()[0] for each in failures]
    assert dict(zip(DECLARED, found, strict=True)) == DECLARED
    assert failures[3].startswith("AssertionError I.Write.m: the parameters are positional-only")
