"""What `#get-schema` answers, type by type (docs/spec/07-python-sdk.md, section 7)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.python_contracts import ALICE, Chain, running_chain


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


def method(*params: Any, ret: Any = "any", **more: Any) -> dict[str, Any]:
    """Return the schema of a write method."""
    return {
        "params": [list(each) for each in params],
        "kwparams": {},
        "readonly": False,
        "ret": ret,
        "payable": False,
    } | more


SIMPLE = """
import functools
from genlayer import *

def logged(method):
    @functools.wraps(method)
    def call(*args, **kwargs):
        return method(*args, **kwargs)
    return call

class Mixin:
    @gl.public.view
    def inherited(self) -> str: ...

class Simple(Mixin, gl.Contract):
    count: u256

    def __init__(self, start: int, note, *, owner: Address, tag: str = ""):
        pass

    @gl.public.write
    def zebra(self) -> None: ...

    @gl.public.write.payable
    def ant(self, a: u8, b: bigint = 5, /, c: bool = True) -> i256: ...

    @gl.public.view
    def look(self, *, raw: bytes, rows: list) -> dict: ...

    @logged
    @gl.public.write.min_gas(leader=10, validator=0)
    def costly(self, a: int) -> bool: ...

    @gl.public.write.min_gas(leader=0, validator=7).payable
    def paid(self): ...

    @gl.private
    def hidden(self, x: float): ...

    def helper(self, *args, **kwargs): ...

    @gl.public.write.payable
    def __receive__(self): ...

    @gl.public.write
    def __handle_undefined_method__(self, name, args, kwargs): ...

    @gl.public.write.payable
    def __on_errored_message__(self): ...
"""


def test_methods_are_sorted_and_carry_what_callers_need(chain: Chain) -> None:
    contract = chain.deploy(SIMPLE, 1, 2, kwargs={"owner": ALICE})
    schema = json.loads(contract.call("#get-schema"))
    assert schema == {
        "ctor": {
            "params": [["start", "int"], ["note", "any"]],
            "kwparams": {"owner": "address", "tag": "string"},
        },
        "methods": {
            "ant": method(("a", "int"), ("b", "int"), ("c", "bool"), ret="int", payable=True),
            "costly": method(("a", "int"), ret="bool", min_gas_leader=10),
            "inherited": {"params": [], "kwparams": {}, "readonly": True, "ret": "string"},
            "look": {
                "params": [],
                "kwparams": {"raw": "bytes", "rows": "array"},
                "readonly": True,
                "ret": "dict",
            },
            "paid": method(min_gas_validator=7, payable=True),
            "zebra": method(ret="null"),
        },
    }
    assert list(schema["methods"]) == sorted(schema["methods"])
    assert '"kwparams":{},"min_gas_leader":10,"readonly":false,"ret"' in contract.call(
        "#get-schema"
    )


TYPED = """
import collections
import enum
from __future__ import annotations
import typing
from dataclasses import dataclass
from genlayer import *

@allow_storage
@dataclass
class Point:
    x: u32
    names: DynArray[str]

@dataclass
class Line:
    a: Point
    b: "Point | None"

class Pair(typing.NamedTuple):
    a: int

class Options(typing.TypedDict):
    a: int

class Word(str): ...

class Colour(enum.StrEnum):
    RED = "red"

class Row(collections.UserList): ...

Name = typing.NewType("Name", str)
Rows = typing.NewType("Rows", list[u8])

class Typed(gl.Contract):
    class Inner: ...
    alias = dict[str, int]

    def __init__(self): ...

    @gl.public.write
    def list(self, %s) -> dict[str, int | None]: ...
"""

POINT = {"x": "int", "names": [{"$rep": "string"}]}
LINE = {"a": POINT, "b": {"$or": [POINT, "null"]}}

TYPES: dict[str, Any] = {
    "typing.Any": "any",
    "None": "null",
    "type(None)": "null",
    "bool": "bool",
    "int": "int",
    "str": "string",
    "bytes": "bytes",
    "Address": "address",
    "u8": "int",
    "i256": "int",
    "bigint": "int",
    "gl.evm.bytes1": "bytes",
    "gl.evm.bytes32": "bytes",
    "Name": "string",
    "Rows": [{"$rep": "int"}],
    "list": "array",
    "tuple": "array",
    "bytearray": "array",
    "memoryview": "array",
    "range": "array",
    "collections.deque": "array",
    "collections.abc.Sequence": "array",
    "collections.abc.MutableSequence": "array",
    "DynArray": "array",
    "Array": "array",
    "Pair": "array",
    "Word": "array",
    "Colour": "array",
    "Row": "array",
    "dict": "dict",
    "collections.OrderedDict": "dict",
    "collections.Counter": "dict",
    "collections.abc.Mapping": "dict",
    "TreeMap": "dict",
    "Options": "dict",
    "int | None": {"$or": ["int", "null"]},
    "typing.Union[bool, None, list[typing.Any]]": {"$or": ["bool", "null", [{"$rep": "any"}]]},
    "typing.Optional[u8]": {"$or": ["int", "null"]},
    "u8 | None": {"$or": ["int", "null"]},
    "Line": LINE,
    "Point": POINT,
    "dict[str, list[Address]]": {"$dict": [{"$rep": "address"}]},
    "typing.Dict[str, bytes]": {"$dict": "bytes"},
    "typing.Mapping[str, int]": {"$dict": "int"},
    "collections.abc.Mapping[str, int]": {"$dict": "int"},
    "collections.abc.MutableMapping[str, int]": {"$dict": "int"},
    "collections.OrderedDict[str, int]": {"$dict": "int"},
    "TreeMap[str, bool]": {"$dict": "bool"},
    "tuple[int, bytes]": ["int", "bytes"],
    "tuple[str, ...]": [{"$rep": "string"}],
    "tuple[()]": [],
    "typing.Tuple[int, str]": ["int", "string"],
    "list[int]": [{"$rep": "int"}],
    "typing.List[Line]": [{"$rep": LINE}],
    "typing.Sequence[str]": [{"$rep": "string"}],
    "collections.abc.Sequence[str]": [{"$rep": "string"}],
    "collections.deque[int]": [{"$rep": "int"}],
    "DynArray[DynArray[u8]]": [{"$rep": [{"$rep": "int"}]}],
    "typing.Literal['x', 1]": "any",
    "list['Point']": [{"$rep": POINT}],
    "alias": {"$dict": "int"},
}


@pytest.mark.parametrize("text", ["", "from __future__ import annotations"])
def test_types_within_types(chain: Chain, text: str) -> None:
    typed = TYPED.replace("from __future__ import annotations\n", "")
    params = ", ".join(f"p{number}: {name}" for number, name in enumerate(TYPES))
    source = f"{text}\n{typed % params}"
    schema = json.loads(chain.deploy(source).call("#get-schema"))
    described = schema["methods"]["list"]
    assert dict(zip(TYPES, [each for _, each in described["params"]], strict=True)) == TYPES
    assert described["ret"] == {"$dict": {"$or": ["int", "null"]}}


REFUSED = """
import collections, dataclasses, datetime, decimal, enum, typing
from genlayer import *
from genlayer.py.get_schema import get_schema

T = typing.TypeVar("T")

@dataclasses.dataclass
class G(typing.Generic[T]):
    x: T

@dataclasses.dataclass
class HasFloat:
    x: float

class Plain: ...

class Number(enum.IntEnum):
    ONE = 1

type Alias = int

def refusal(cls):
    try:
        get_schema(cls)
    except TypeError as error:
        return str(error)

class C(gl.Contract):
    def __init__(self): ...

    @gl.public.view
    def types(self, names: list) -> list:
        given = [eval(name) for name in names]
        return [refusal(self.taking(each)) for each in given]

    def taking(self, annotation):
        class Taking:
            def __init__(self): ...
            @gl.public.view
            def f(self, a: annotation): ...
        return Taking

    @gl.public.view
    def classes(self, names: list) -> list:
        return [refusal(eval(name)) for name in names]

class Bare: ...
class Base:
    def __init__(self): ...
class Inherits(Base): ...
class OfStatic:
    def __init__(self): ...
    @staticmethod
    @gl.public.view
    def f(a): ...
class OfClass:
    def __init__(self): ...
    @classmethod
    @gl.public.view
    def f(cls, a): ...
class NoSelf:
    def __init__(self): ...
    @gl.public.view
    def f(): ...
class Many:
    def __init__(self): ...
    @gl.public.view
    def f(self, *a): ...
class Named:
    def __init__(self): ...
    @gl.public.view
    def f(self, **a): ...
class ManyToConstruct:
    def __init__(self, *a): ...
class PublicConstructor:
    @gl.public.write
    def __init__(self): ...
class Dunder:
    def __init__(self): ...
    @gl.public.view
    def __len__(self): ...
class Returns:
    def __init__(self): ...
    @gl.public.view
    def f(self) -> list[float]: ...
"""

NO_TYPES = [
    "float", "complex", "object", "set", "frozenset", "set[int]", "datetime.datetime",
    "decimal.Decimal", "enum.Enum", "Number", "Plain", "HasFloat", "G", "G[int]", "T", "Alias",
    "typing.Callable", "typing.Callable[[], int]", "typing.Iterable[int]", "typing.Sequence",
    "typing.Mapping", "typing.List", "Array[u8, typing.Literal[2]]", "typing.Annotated[int, 1]",
    "dict[int, str]", "TreeMap[u8, str]", "list[float]", "tuple[int, float]", "int | float",
    "collections.abc.Iterable", "collections.Counter[str]", "typing.Type[int]",
    "typing.NewType('F', float)", "typing.Final", "5",
]  # fmt: skip

NO_CLASSES = [
    "Bare", "Inherits", "OfStatic", "OfClass", "NoSelf", "Many", "Named", "ManyToConstruct",
    "PublicConstructor", "Dunder", "Returns",
]  # fmt: skip


def test_what_has_no_schema_is_refused_with_the_name_of_the_method(chain: Chain) -> None:
    contract = chain.deploy(REFUSED)
    reasons = dict(zip(NO_TYPES, contract.call("types", NO_TYPES), strict=True))
    assert [name for name, reason in reasons.items() if not reason] == []
    assert all(reason.startswith("f, a: ") for reason in reasons.values()), reasons
    assert reasons["dict[int, str]"] == "f, a: the keys of a map are str"
    assert "use an int in the smallest unit" in reasons["float"]
    classes = dict(zip(NO_CLASSES, contract.call("classes", NO_CLASSES), strict=True))
    assert [name for name, reason in classes.items() if not reason] == []


@pytest.mark.parametrize(
    "signature",
    [
        "self, price: float",
        "self) -> list[float]:\n    pass\n  def _x(self",
        "self, x: dict[int, str]",
        "self, *args",
        "self, x: 'Unknown'",
    ],
)
def test_a_contract_without_schema_deploys_and_runs(chain: Chain, signature: str) -> None:
    source = f"""
from genlayer import *
class C(gl.Contract):
  def __init__(self): ...
  @gl.public.view
  def good(self): return 5
  @gl.public.view
  def bad({signature}): ...
"""
    contract = chain.deploy(source)
    assert contract.call("good") == 5
    assert contract.calling("#get-schema").vm_error() == "exit_code 1"
    assert "bad" in contract.last.stderr


def test_a_contract_may_make_its_schema_itself(chain: Chain) -> None:
    source = """
from genlayer import *
class C(gl.Contract):
    def __init__(self): ...
    @classmethod
    def __get_schema__(cls):
        return "mine: " + super().__get_schema__()
"""
    contract = chain.deploy(source)
    assert contract.call("#get-schema") == 'mine: {"ctor":{"params":[],"kwparams":{}},"methods":{}}'


MARKS = """
from genlayer import *
import genlayer.gl.annotations as annotations

def marks(f):
    names = ("public", "readonly", "payable", "min_gas_leader", "min_gas_validator")
    return [getattr(f, f"__gl_{name}__", None) for name in names]

class C(gl.Contract):
    def __init__(self): ...

    @gl.public.view
    def marks(self):
        def f(): ...
        write = gl.public.write
        result = [gl.private(f) is f and marks(f)]
        for mark in (
            gl.public.view, write, write.payable, write.min_gas(leader=1, validator=2),
            write.min_gas(leader=3, validator=4).payable, gl.public.write,
        ):
            assert mark(f) is f
            result.append(marks(f))
        return [result, annotations.public is gl.public, annotations.private is gl.private]
"""


def test_decorators_set_attributes_and_give_the_function_back(chain: Chain) -> None:
    assert chain.deploy(MARKS).call("marks") == [
        [
            [None] * 5,
            [True, True, False, 0, 0],
            [True, False, False, 0, 0],
            [True, False, True, 0, 0],
            [True, False, False, 1, 2],
            [True, False, True, 3, 4],
            [True, False, False, 0, 0],
        ],
        True,
        True,
    ]
