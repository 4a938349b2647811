"""Types and calldata as contracts see them: expressions, and what each is in a real contract.

Source: docs/spec/07-python-sdk.md#2-types and #3-calldata-glcalldata.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from genvm_manager.protocol import calldata
from tests.support.python_contracts import Chain, Contract, running_chain

CONTRACT = """
from genlayer import *
import copy, dataclasses, enum, pickle, typing
from array import array
from collections import OrderedDict, UserDict, UserList, deque, namedtuple

A = Address("0xd8da6bf26964af9d7eed9e03e53415d37aa96045")
B = Address(bytes(20))
cd = gl.calldata

@allow_storage
@dataclasses.dataclass
class Point:
    x: u8
    y: str = "y"
    kind: typing.ClassVar[str] = "no field"

@dataclasses.dataclass
class Own(cd.CalldataEncodable):
    x: int
    def __to_calldata__(self):
        return "own"

class Colour(enum.IntEnum):
    RED = 7

class Name(str): pass

class Number(int):
    def __to_calldata__(self):
        return "not asked"

class Made(cd.CalldataEncodable):
    def __init__(self, value): self.value = value
    def __to_calldata__(self): return self.value

class Abstract(cd.CalldataEncodable): pass

class Pair(typing.NamedTuple):
    a: u8
    b: str

calls = []

def counted():
    calls.append(1)
    return len(calls)

def failing():
    calls.append(1)
    raise KeyError("k")

class Main(gl.Contract):
    rows: DynArray[u16]
    names: TreeMap[str, Point]
    numbers: TreeMap[u8, str]
    fixed: Array[u8, typing.Literal[2]]
    point: Point

    @gl.public.write
    def evaluate(self, lines: list[str]) -> list[str]:
        self.rows.extend([1, 2])
        self.names["p"] = Point(u8(1))
        self.numbers[1] = "x"
        found = []
        for line in lines:
            try:
                found.append(repr(eval(line, globals(), {"self": self})))
            except Exception as error:
                found.append(type(error).__name__)
        return found
"""

HEX = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
REPR = f'Address("{HEX}")'

SIZED_INTS = {
    "u8(300), i8(-1000), bigint(5), type(u8(1))": "(300, -1000, 5, <class 'int'>)",
    "u8('x'), u256(None)": "('x', None)",
    "u8()": "TypeError",
    "isinstance(1, u8)": "TypeError",
    "isinstance(u8, typing.NewType)": "True",
    "u8.__supertype__, u8.__name__, u8.__qualname__, u8.__module__": (
        "(<class 'int'>, 'u8', 'u8', 'genlayer.py.types')"
    ),
    "u8, i256, bigint": (
        "(genlayer.py.types.u8, genlayer.py.types.i256, genlayer.py.types.bigint)"
    ),
    "u8 | None, None | u8, u8 | str": (
        "(typing.Optional[genlayer.py.types.u8], typing.Optional[genlayer.py.types.u8], "
        "typing.Union[genlayer.py.types.u8, str])"
    ),
    "list[u8]": "list[genlayer.py.types.u8]",
    "pickle.loads(pickle.dumps(u8)) is u8, copy.deepcopy(u8) is u8": "(True, True)",
    "type('Sub', (u8,), {})": "TypeError",
    "typing.get_type_hints(Pair)": "{'a': genlayer.py.types.u8, 'b': <class 'str'>}",
    "{u8: 1, u16: 2}[u8]": "1",
}

ADDRESSES = {
    "A": REPR,
    "str(A), '%s' % A, A.as_hex": f"('{HEX}', '{HEX}', '{HEX}')",
    "f'{A}', '{}'.format(A), format(A)": repr((REPR, REPR, REPR)),
    "f'{A:s}' == f'{A:x}' == A.as_hex": "True",
    "f'{A:b64}' == A.as_b64 == '2Npr8mlkr51+7Z4D5TQV03qpYEU='": "True",
    "f'{A:cd}'": f"'addr#{HEX[2:].lower()}'",
    **dict.fromkeys(("f'{A:X}'", "f'{A:>50}'", "f'{A:d}'"), "TypeError"),
    "A.as_int": "396075998497252317004165851554722470162709863128",
    "Address(val=bytes(20)) == Address(bytes(20))": "True",
    "Address((1).to_bytes(20, 'little')).as_int": "1",
    "A.SIZE, Address.SIZE, len(A.as_bytes)": "(20, 20, 20)",
    "Address('0x' + 'AB' * 20) == Address('0x' + 'ab' * 20)": "True",
    "Address(A.as_b64) == A": "True",
    "Address(' ' + A.as_b64[:9] + '!' + A.as_b64[9:]) == A": "True",
    "Address('0X' + 'ab' * 20)": "Error",
    "Address('0x' + 'zz' * 20)": "ValueError",
    "Address('0x' + 'é' * 40)": "ValueError",
    "Address('')": "Exception",
    "Address('0x12')": "Exception",
    "Address('a' * 20)": "Exception",
    "Address('ab' * 20)": "Exception",
    "Address('a' * 25)": "Error",
    "Address(b'short')": "Exception",
    "Address(bytearray(20)) == Address(memoryview(bytes(20))) == Address([0] * 20) == B": "True",
    "Address(range(20)).as_bytes[3]": "3",
    "Address(array('H', [1] * 10)).as_bytes[:4]": r"b'\x01\x00\x01\x00'",
    "Address(20) == B": "True",
    "Address(5)": "Exception",
    "Address(A)": "TypeError",
    "Address(None)": "TypeError",
    "Address([300] * 20)": "ValueError",
    "bytes(A)": "TypeError",
    "B < A, A <= A, A > B, B >= A, A == A, A != B, A == 5, A == A.as_bytes": (
        "(True, True, True, False, True, True, False, False)"
    ),
    **dict.fromkeys(
        ("A < 5", "A <= None", "A > b'x'", "A >= 'x'", "5 < A", "sorted([A, 1])"), "AssertionError"
    ),
    "hash(A) == hash(A.as_bytes), len({A, Address(A.as_bytes)})": "(True, 1)",
    "pickle.loads(pickle.dumps(A)) == A == copy.deepcopy(A)": "True",
}

OTHERS = {
    "(lambda lazy: (lazy.get(), lazy.get(), calls.clear()))(gl.Lazy(counted))": "(1, 1, None)",
    "(lambda lazy: lazy.get())(gl.Lazy(failing))": "KeyError",
    "gl.Lazy[int]": "genlayer.py.types.Lazy[int]",
    "gl.SizedArray[u8, typing.Literal[2]].__args__": ("(genlayer.py.types.u8, typing.Literal[2])"),
    "Keccak256().hexdigest() == Keccak256(None).hexdigest() == Keccak256(b'').hexdigest()": "True",
    "Keccak256(bytearray(b'ab')).hexdigest() == Keccak256(memoryview(b'ab')).hexdigest()": "True",
    "Keccak256('text')": "TypeError",
    "Keccak256(5)": "TypeError",
    "Keccak256().digest_size, Keccak256().block_size, len(Keccak256().digest())": "(32, 136, 32)",
    "(lambda k: (k.digest() == k.digest(), k.copy().digest() == k.digest(), "
    "k.copy().update(b'x'), k.digest() == Keccak256(b'a' * 300).digest()))"
    "(Keccak256(b'a' * 300))": "(True, True, None, True)",
    "pickle.loads(pickle.dumps(Keccak256(b'abc'))).digest() == Keccak256(b'abc').digest()": "True",
}

ENCODED: dict[str, Any] = {
    "None": None,
    "True": True,
    "-300": -300,
    "1 << 5000": 1 << 5000,
    "Colour.RED": 7,
    "Number(3)": 3,
    "Name('x')": "x",
    "'é'": "é",
    "bytearray(b'x')": b"x",
    "memoryview(b'xyz')[1:]": b"yz",
    "(1, (2,))": [1, [2]],
    "range(3)": [0, 1, 2],
    "deque([1])": [1],
    "array('B', [1, 2])": [1, 2],
    "UserList([1])": [1],
    "Pair(1, 'b')": [1, "b"],
    "{'b': 1, 'a': 2}": {"a": 2, "b": 1},
    "OrderedDict(b=1, a=2)": {"a": 2, "b": 1},
    "UserDict({'k': None})": {"k": None},
    "{Name('k'): 1}": {"k": 1},
    "Point(u8(1))": {"x": 1, "y": "y"},
    "self.point": {"x": 0, "y": ""},
    "self.rows": [1, 2],
    "self.fixed": [0, 0],
    "self.names": {"p": {"x": 1, "y": "y"}},
    "[Made([Made(1)]), Made(Point(u8(2)))]": [[1], {"x": 2, "y": "y"}],
    "Own(1)": {"x": 1},
    "gl.message[3:]": [0, 61_999],
}
"""Expressions, and the value whose calldata `encode` makes of each."""

CALLDATA = {
    **dict.fromkeys(
        (
            "cd.encode(1.5)",
            "cd.encode(1j)",
            "cd.encode({1, 2})",
            "cd.encode(object())",
            "cd.encode({1: 2})",
            "cd.encode(self.numbers)",
            "cd.encode({None: 2})",
            "cd.encode(Point)",
            "cd.encode(u8)",
            "cd.encode(iter([]))",
            "cd.encode(gl.Lazy(counted))",
            "cd.encode({}.keys())",
            "cd.encode([1], lambda x: x)",
            "Abstract()",
        ),
        "TypeError",
    ),
    "cd.encode('\\ud800')": "UnicodeEncodeError",
    "cd.encode({'\\ud800': 1})": "UnicodeEncodeError",
    "cd.encode({'x': [1.5]}, default=lambda v: str(v) if isinstance(v, float) else v) "
    "== cd.encode({'x': ['1.5']})": "True",
    "cd.encode([1, [2]], default=lambda v: v + 1 if isinstance(v, int) else v) "
    "== cd.encode([2, [3]])": "True",
    "cd.encode(Point(u8(1)), default=lambda v: v)": "TypeError",
    "cd.encode(Own(1), default=lambda v: v) == cd.encode('own')": "True",
    "cd.decode(cd.encode({'a': [A, b'x', None, -1]})) == {'a': [A, b'x', None, -1]}": "True",
    "type(cd.decode(cd.encode(bytearray(b'x'))))": "<class 'bytes'>",
    "cd.decode(memoryview(cd.encode([1])))": "[1]",
    "cd.decode(cd.encode([b'xy']), memview2bytes=bytearray)": "[bytearray(b'xy')]",
    "cd.decode(cd.encode([b'xy']), memview2bytes=len)": "[2]",
    "type(cd.decode(cd.encode(b'xy'), memview2bytes=lambda view: view))": "<class 'memoryview'>",
    **dict.fromkeys(
        (
            "cd.decode(b'')",
            "cd.decode(b'\\x00\\x00')",
            "cd.decode(b'\\x80')",
            "cd.decode(b'\\x89\\x00')",
            "cd.decode(b'\\x0c')",
            "cd.decode(b'\\x07')",
            "cd.decode(b'\\x20')",
            "cd.decode(b'\\x16\\x01b\\x00\\x01a\\x00')",
            "cd.decode(b'\\x16\\x01a\\x00\\x01a\\x00')",
            "cd.decode(b'\\x0d' * 1000)",
        ),
        "DecodingError",
    ),
    "cd.decode(b'\\x0c\\xff')": "UnicodeDecodeError",
    "cd.decode(b'\\x0e\\x01\\xff\\x00')": "UnicodeDecodeError",
    "cd.decode('text')": "TypeError",
    "issubclass(cd.DecodingError, ValueError), cd.DecodingError.__mro__[1]": (
        "(True, <class 'ValueError'>)"
    ),
    "cd.to_str({'z': [1, b'x', A, None, True, False, 'q\"é'], 'a': {}, 'é': [-5]})": repr(
        '{"z":[1,b#78,addr#d8da6bf26964af9d7eed9e03e53415d37aa96045,null,true,false,"q\\"\\u00e9"],'
        '"a":{},"\\u00e9":[-5]}'
    ),
    "cd.to_str(1.5)": "TypeError",
}

TABLES = {"ints": SIZED_INTS, "addresses": ADDRESSES, "others": OTHERS, "calldata": CALLDATA}


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


@pytest.fixture(scope="module")
def contract(chain: Chain) -> Contract:
    return chain.deploy(CONTRACT)


@pytest.mark.parametrize("name", TABLES)
def test_expressions_are_what_they_are_on_the_network(contract: Contract, name: str) -> None:
    table = TABLES[name]
    found = contract.attempt({"method": "evaluate", "args": [list(table)]}).returned()
    assert dict(zip(table, found, strict=True)) == table


def test_what_contracts_have_is_encoded(contract: Contract) -> None:
    lines = [f"cd.encode({line})" for line in ENCODED]
    found = contract.attempt({"method": "evaluate", "args": [lines]}).returned()
    expected = [repr(calldata.encode(value)) for value in ENCODED.values()]
    assert dict(zip(ENCODED, found, strict=True)) == dict(zip(ENCODED, expected, strict=True))


def test_an_error_of_encoding_says_where_the_value_stands(chain: Chain) -> None:
    lost = chain.deploy(
        """
from genlayer import *

class Main(gl.Contract):
    @gl.public.view
    def get(self):
        return {"rows": [1, {"price": 1.5}]}
"""
    )
    outcome = lost.calling("get")
    assert outcome.vm_error() == "exit_code 1"
    assert "TypeError: float has no calldata\n" in outcome.stderr
    assert "at ['Return']['rows'][1]['price']" in outcome.stderr
