"""What `#get-schema` answers, type by type (docs/spec/06-contracts.md#schema)."""

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
from genlayer import *

class Simple(gl.Contract):
    count: u256

    def __init__(self, start: int, note, *, owner: Address, tag: str = ""):
        pass

    @gl.public.write
    def zebra(self) -> None: ...

    @gl.public.write.payable
    def ant(self, a: u8, b: bigint = 5, /, c: bool = True) -> i256: ...

    @gl.public.view
    def look(self, *, raw: bytes, rows: list) -> dict: ...

    @gl.private
    def hidden(self, x: float): ...

    def helper(self, *args, **kwargs): ...

    @gl.public.write.payable
    def __receive__(self): ...
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
            "look": {
                "params": [],
                "kwparams": {"raw": "bytes", "rows": "array"},
                "readonly": True,
                "ret": "dict",
            },
            "zebra": method(ret="null"),
        },
    }
    assert list(schema["methods"]) == ["ant", "look", "zebra"]


TYPED = """
from __future__ import annotations
from dataclasses import dataclass
from typing import Any, Optional, Union
from genlayer import *

@allow_storage
@dataclass
class Point:
    x: u32
    names: DynArray[str]

@dataclass
class Line:
    a: Point
    b: Point | None

class Typed(gl.Contract):
    @gl.public.write
    def types(
        self,
        a: list[int], b: tuple[str, ...], c: tuple[int, bytes], d: dict[str, list[Address]],
        e: Line, f: int | str, g: Optional[u8], h: Union[bool, None, list[Any]], i: Any,
        j: DynArray[u8], k: TreeMap[str, bool], l: object, m: "int", n: tuple,
    ) -> dict[str, int | None]: ...
"""


def test_types_within_types(chain: Chain) -> None:
    schema = json.loads(chain.deploy(TYPED).call("#get-schema"))
    point = {"x": "int", "names": [{"$rep": "string"}]}
    params: dict[str, Any] = {
        "a": [{"$rep": "int"}],
        "b": [{"$rep": "string"}],
        "c": ["int", "bytes"],
        "d": {"$dict": [{"$rep": "address"}]},
        "e": {"a": point, "b": {"$or": [point, "null"]}},
        "f": {"$or": ["int", "string"]},
        "g": {"$or": ["int", "null"]},
        "h": {"$or": ["bool", "null", [{"$rep": "any"}]]},
        "i": "any",
        "j": [{"$rep": "int"}],
        "k": {"$dict": "bool"},
        "l": "any",
        "m": "int",
        "n": "array",
    }
    ret = {"$dict": {"$or": ["int", "null"]}}
    assert schema["methods"] == {"types": method(*params.items(), ret=ret)}
    assert schema["ctor"] == {"params": [], "kwparams": {}}


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("self, price: float", "bad, price: float cannot be passed to or from a contract"),
        ("self) -> list[float]:\n    pass\n  def _x(self", "bad, return: float cannot be passed"),
        ("self, x: dict[int, str]", "calldata has maps with str keys only"),
        ("self, *args", "takes no *args and no **kwargs"),
        ("self, x: set[int]", "bad, x: set[int] cannot be passed"),
    ],
)
def test_a_type_without_calldata_in_a_public_signature_fails_the_contract(
    chain: Chain, signature: str, reason: str
) -> None:
    source = f"""
from genlayer import *
class C(gl.Contract):
  @gl.public.view
  def bad({signature}): ...
"""
    contract = chain.deploying(source)
    assert contract.last.vm_error() == "exit_code 1"
    assert reason in contract.last.stderr
