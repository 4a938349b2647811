"""What leaves a run of a Python contract as events (docs/spec/07-python-sdk.md#8-events)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from genvm_manager.protocol import calldata
from genvm_manager.protocol.keccak import keccak256
from tests.support.python_contracts import Chain, running_chain


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


EVENTS = """
from genlayer import *

class Moved(gl.Event):
    def __init__(self, source: Address, amount: u256, label: str, /, **blob): ...

class Plain(gl.Event):
    name = "Renamed"
    def __init__(self, /): ...

class Nothing(gl.Event):
    def __init__(self): raise ValueError("the body is never run")

class Sub(Plain):
    def __init__(self, b, /, **rest): ...

class Wide(gl.Event):
    def __init__(self, a, b, c, d, /): ...

def fails(function):
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__} {error}"

class Events(gl.Contract):
    rows: DynArray[u8]

    @gl.public.write
    def emit(self) -> None:
        self.rows.extend([1, 2])
        Moved(300, "l" * 40, self.address, rows=self.rows, more={"x": None}).emit()
        Plain().emit()
        Nothing(extra=[True]).emit()
        Sub(b"x" * 30).emit()
        gl.advanced.emit_raw_event([b"t" * 32], {})
        gl.advanced.emit_raw_event([], {"x": 1})
        gl.advanced.emit_raw_event([bytearray(32)] * 4, {})

    @gl.public.write
    def raw(self, topics: list, blob) -> str:
        return fails(lambda: gl.advanced.emit_raw_event(topics, blob))

    @gl.public.write
    def wrongly(self) -> list:
        return [fails(each) for each in (
            lambda: Moved(1),
            lambda: Moved(1, 2, 3, 4),
            lambda: Moved(1, "x", 3, amount=2),
            lambda: Moved(amount=1, label="x", source=3),
            lambda: Wide(1, 2, 3, 4).emit(),
        )]

    @gl.public.write
    def declare(self, parameters: list) -> list:
        return [fails(lambda: exec(
            f"class E(gl.Event):\\n    def __init__({each}): ...", {"gl": gl})
        ) for each in parameters]

    @gl.public.write
    def declare_none(self) -> str:
        return fails(lambda: exec("class E(gl.Event): ...", {"gl": gl}))

    @gl.public.view
    def about(self) -> list:
        return [[each.name, each.indexed, each.signature] for each in (Moved, Plain, Nothing, Sub)]

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
        {"type": "EmitEvent", "topics": [keccak256(b"Nothing()")], "blob": {"extra": [True]}},
        {
            "type": "EmitEvent",
            "topics": [keccak256(b"Sub(b)"), calldata.encode(b"x" * 30)],
            "blob": {"b": b"x" * 30},
        },
        {"type": "EmitEvent", "topics": [b"t" * 32], "blob": {}},
        {"type": "EmitEvent", "topics": [], "blob": {"x": 1}},
        {"type": "EmitEvent", "topics": [bytes(32)] * 4, "blob": {}},
    ]


def test_the_values_of_an_event_belong_to_its_names_in_alphabetical_order(chain: Chain) -> None:
    assert chain.deploy(EVENTS).call("about") == [
        ["Moved", ["amount", "label", "source"], "Moved(amount,label,source)"],
        ["Renamed", [], "Renamed()"],
        ["Nothing", [], "Nothing()"],
        ["Sub", ["b"], "Sub(b)"],
    ]


@pytest.mark.parametrize(
    ("topics", "blob"),
    [
        ([b"short"], {}),
        ([bytes(33)], {}),
        ([bytes(32)] * 5, {}),
        (["t" * 32], {}),
        ([None], {}),
        (bytes(32), {}),
        (None, {}),
        ([], []),
        ([], None),
    ],
)
def test_a_raw_event_of_another_shape_is_refused(
    chain: Chain, topics: object, blob: object
) -> None:
    contract = chain.deploy(EVENTS)
    assert contract.call("raw", topics, blob) == "SystemError 2: inval"
    assert contract.last.result.emissions == []


def test_an_event_that_is_made_wrongly_says_what_is_wrong(chain: Chain) -> None:
    contract = chain.deploy(EVENTS)
    assert contract.call("wrongly") == [
        "TypeError Moved has the indexed values amount, label, source; got 1",
        "TypeError Moved has the indexed values amount, label, source; got 4",
        "TypeError Moved: amount is given twice",
        "TypeError Moved has the indexed values amount, label, source; got 0",
        "SystemError 2: inval",
    ]
    assert contract.last.result.emissions == []


def test_an_event_is_checked_where_its_class_is_declared(chain: Chain) -> None:
    contract = chain.deploy(EVENTS)
    right = ["self", "self, /", "self, a, /", "self, a, b, /, **k", "self, **k"]
    assert contract.call("declare", right) == [None] * len(right)
    wrong = [
        "",
        "me, /",
        "self, a",
        "self, a, /, b",
        "self, *a",
        "self, /, *, a",
        "*self",
        "**self",
    ]
    refusals = contract.call("declare", wrong)
    assert [each.split()[0] for each in refusals] == ["TypeError"] * len(wrong)
    assert contract.call("declare_none").startswith("AssertionError ")


def test_a_view_emits_nothing(chain: Chain) -> None:
    contract = chain.deploy(EVENTS)
    failed = contract.calling("emit_from_view", permissions="r")
    assert failed.vm_error() == "exit_code 1"
    assert "forbidden" in failed.stderr
