"""What a Python contract's functions can take along to another machine of the run.

Source: docs/spec/07-python-sdk.md#11-glvm.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from genvm_manager.protocol.calldata import Address
from tests.support.python_contracts import Contract, Outcome, running_chain

SOURCE = """
import abc
import collections
import dataclasses
import enum
import functools
import re
import sys
import types
import typing
import urllib.parse
from genlayer import *

print("loaded")
K = 20
T = typing.TypeVar("T")
by_value = lambda: K + 1

def twice(x):
    return 2 * x

class Color(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Record:
    n: int

class Shipping(gl.Contract):
    count: u8
    names: TreeMap[str, u8]
    items: DynArray[u8]

    def __init__(self):
        self.count = 3
        self.names["q"] = 4
        self.items.append(5)

    @gl.public.write
    def ship(self, names: list[str]) -> typing.Any:
        results = {}
        for name in names:
            print("=", name)
            try:
                result = gl.vm.spawn_sandbox(getattr(self, "make_" + name)())
            except Exception as error:
                results[name] = f"refused: {type(error).__name__}"
            else:
                good = isinstance(result, gl.vm.Return)
                results[name] = result.calldata if good else result.message
        return results

    def make_nothing(self):
        return lambda: 5

    def make_int_type(self):
        ty = u8
        return lambda: [ty(3), u256(4)]

    def make_global_values(self):
        k = K
        return lambda: [k + K, by_value()]

    def make_globals(self):
        return lambda: [K, *sorted(name for name in globals() if name[0] != "_")]

    def make_many_globals(self):
        names = [f"g{n}" for n in range(300)]
        namespace = {name: n for n, name in enumerate(names)}
        exec("def f(): return [" + ", ".join(names) + "]", namespace)
        f = namespace["f"]
        return lambda: f() == list(range(300))

    def make_global_write(self):
        def write():
            global K
            K = 99
            return [K, by_value()]
        return write

    def make_module_function(self):
        return lambda: twice(4)

    def make_bound_method(self):
        method = self.helper
        return lambda: method(3)

    def helper(self, n):
        return [n, self.count]

    def make_contract(self):
        return lambda: [self.count, self.names["q"], self.items[0]]

    def make_recursion(self):
        def fac(n):
            return 1 if n < 2 else n * fac(n - 1)
        return lambda: fac(5)

    def make_local_classes(self):
        class Base:
            z = 1
            def v(self): return self.z
            @property
            def p(self): return 7
            @classmethod
            def c(cls): return cls.__name__
            @staticmethod
            def s(): return 9
        class Derived(Base):
            def v(self): return super().v() + 100
        one, other = Base(), Derived()
        return lambda: [one.v(), other.v(), one.p, other.c(), Base.s(), Derived().v()]

    def make_local_kinds(self):
        N = collections.namedtuple("N", "q r", defaults=[1])
        class Number(enum.IntEnum):
            ONE = 1
        class Abstract(abc.ABC):
            @abc.abstractmethod
            def q(self): ...
        class Concrete(Abstract):
            def q(self): return 5
        @dataclasses.dataclass
        class Data:
            n: int
            m: list = dataclasses.field(default_factory=list)
        class Failed(Exception):
            pass
        pair, data = N(6), Data(5)
        def look():
            try:
                raise Failed("why")
            except Failed as error:
                text = str(error)
            return [repr(pair), Number(1).name, Concrete().q(), repr(data), data == Data(5), text]
        return look

    def make_generic(self):
        class G(typing.Generic[T]):
            def get(self): return 1
        return lambda: G[int]().get()

    def make_values(self):
        address, hashed, pattern = Address(b"\\1" * 20), Keccak256(b"abc"), re.compile("a+")
        g, record, color, power = gl, Record(4), Color.RED, functools.partial(pow, 2)
        return lambda: [
            address, hashed.hexdigest()[:6], pattern.match("aab").group(), g.message.value,
            record.n, color.name, power(5),
        ]

    def make_containers(self):
        held = [
            collections.OrderedDict(a=1), collections.deque([2]), collections.Counter("aab"),
            collections.defaultdict(list, x=[3]), {"k": lambda: 4}, {5}, memoryview(b"6"),
        ]
        keys = {"k": 1}.keys()
        return lambda: [
            held[0]["a"], held[1][0], held[2]["a"], held[3]["x"], held[4]["k"](), len(held[5]),
            bytes(held[6]), list(keys),
        ]

    def make_signature(self):
        def f(a: int = K, *, b: dict[str, typing.Any] | None = None) -> "str":
            "about"
        f.mark = [1]
        return lambda: [
            f.__name__, f.__qualname__, f.__module__, f.__doc__, f.__defaults__, f.__kwdefaults__,
            sorted(f.__annotations__), f.mark, f(),
        ]

    def make_submodule(self):
        return lambda: urllib.parse.quote("a b")

    def make_dynamic_module(self):
        module = types.ModuleType("made")
        module.x = 8
        return lambda: module.x

    def make_copies(self):
        held, n = [], 0
        def change():
            nonlocal n
            n += 1
            held.append(n)
            return held
        gl.vm.spawn_sandbox(change)
        return lambda: [n, held, change()]

    def make_registered(self):
        import cloudpickle
        cloudpickle.register_pickle_by_value(sys.modules["contract"])
        return lambda: twice(4)

    def make_generator(self):
        numbers = (n for n in range(3))
        return lambda: list(numbers)

    def make_file(self):
        file = open("/contract.py", "rb")
        return lambda: file.read()

    def make_frame(self):
        frame = sys._getframe()
        return lambda: frame.f_lineno

    def make_nested_too_deeply(self):
        deep = None
        for _ in range(5000):
            deep = [deep]
        return lambda: deep is None

    @gl.public.write
    def left_to_cloudpickle(self) -> list[str]:
        from cloudpickle import cloudpickle
        from genlayer._machine import shipping
        ours = shipping._LEFT_TO_CLOUDPICKLE | {"code", "method"}
        theirs = {t.__name__ for t in cloudpickle.Pickler._dispatch_table if isinstance(t, type)}
        return sorted(theirs - ours)

    @gl.public.write
    def operations(self) -> list[bool]:
        from opcode import opmap
        from genlayer._machine import shipping
        names = ["LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL"]
        numbers = tuple(opmap[name] for name in names)
        ours = shipping._GLOBAL_OPERATIONS, shipping._EXTENDED_ARG
        return [ours == (numbers, opmap["EXTENDED_ARG"]), numbers[0] == shipping._LOAD_GLOBAL]

    @gl.public.write
    def by_hand(self, version: str) -> typing.Any:
        import cloudpickle
        n = 4
        assert cloudpickle.__version__ == version
        return cloudpickle.loads(cloudpickle.dumps(lambda: n + K))()
"""


FIELDS = ["f", "Shipping.make_signature.<locals>.f", "contract", "about", [20], {"b": None}]

SHIPPED: dict[str, Any] = {
    "nothing": 5,
    "int_type": [3, 4],
    "global_values": [40, 21],
    "globals": [20, "K"],
    "many_globals": True,
    "global_write": [99, 100],
    "recursion": 120,
    "local_classes": [1, 101, 7, "Derived", 9, 101],
    "local_kinds": ["N(q=6, r=1)", "ONE", 5, "Data(n=5, m=[])", True, "why"],
    "containers": [1, 2, 2, [3], 4, 1, b"6", ["k"]],
    "signature": [*FIELDS, ["a", "b", "return"], [1], None],
    "submodule": "a%20b",
    "dynamic_module": 8,
    "copies": [0, [1], [1]],
    "generator": "refused: TypeError",
    "file": "refused: TypeError",
    "frame": "refused: TypeError",
    "nested_too_deeply": "refused: PicklingError",
    "registered": 8,
}
LOADING_THE_CONTRACT: dict[str, Any] = {
    "module_function": 8,
    "bound_method": [3, 3],
    "contract": [3, 4, 5],
    "generic": 1,
    "values": [Address(b"\1" * 20), "4e0365", "aa", 0, 4, "RED", 32],
}
"""The contract's top level runs again on the other machine, as something is defined there."""


@pytest.fixture(scope="module")
def contract() -> Iterator[Contract]:
    with running_chain() as chain:
        yield chain.deploy(SOURCE)


@pytest.fixture(scope="module")
def shipped(contract: Contract) -> Outcome:
    """Return one call that ships all, the last of which changes how the next ones would go."""
    return contract.calling("ship", [*LOADING_THE_CONTRACT, *SHIPPED])


@pytest.mark.parametrize(("name", "value"), (LOADING_THE_CONTRACT | SHIPPED).items())
def test_a_function_takes_along(name: str, value: Any, shipped: Outcome) -> None:
    assert shipped.returned()[name] == value, shipped.stderr


def test_only_what_the_contract_defines_loads_it_again(shipped: Outcome) -> None:
    first, *printed = shipped.ended.stdout.decode().split("= ")
    assert first == "loaded\n"
    assert {each.split()[0] for each in printed if "loaded" in each} == {*LOADING_THE_CONTRACT}


def test_cloudpickle_is_asked_for_all_that_it_knows(contract: Contract) -> None:
    assert contract.call("left_to_cloudpickle") == []


def test_the_numbers_of_operations_are_those_of_the_interpreter(contract: Contract) -> None:
    assert contract.call("operations") == [True, True]


def test_a_contract_can_import_cloudpickle_itself(contract: Contract) -> None:
    assert contract.call("by_hand", "3.1.3") == 24


VIEWS = """
import dataclasses
import typing
from genlayer import *

T = typing.TypeVar("T")

@allow_storage
@dataclasses.dataclass
class Note:
    text: str
    n: u8

@allow_storage
@dataclasses.dataclass
class Held(typing.Generic[T]):
    value: T

class Views(gl.Contract):
    count: u8
    note: Note
    notes: TreeMap[str, Note]
    items: DynArray[u8]
    fixed: Array[u8, typing.Literal[2]]
    nested: DynArray[DynArray[str]]
    held: Held[u8]

    def __init__(self):
        self.note = Note("first", 1)
        self.notes["k"] = Note("in a map", 2)
        self.items.append(5)
        self.nested.append_new_get().append("deep")
        self.held.value = 8

    @gl.public.write
    def ship(self) -> typing.Any:
        note, notes, items = self.note, self.notes, self.items
        fixed, nested = self.fixed, self.nested
        inside, deep, held = notes["k"], nested[0], self.held
        free = gl.storage.inmem_allocate(Note, "free", 3)
        copied = gl.storage.copy_to_memory(note)
        slot = gl.storage.Root.get().slot()
        append, self.other = items.append, [9]
        self.count, note.text = 7, "changed"
        def read():
            return [
                self.count, self.other, note.text, repr(note), notes["k"].text, list(items),
                list(fixed), list(deep), nested[0][0], inside.n, held.value, free.text, copied.text,
                len(slot.read(0, 4)), slot == gl.storage.Root.get().slot(),
            ]
        def write():
            append(6)
            free.text = "changed there"
            note.n = 4
        def refused():
            try:
                write()
            except SystemError as error:
                return str(error)
        return [
            gl.vm.spawn_sandbox(read).calldata,
            gl.vm.spawn_sandbox(refused).calldata,
            gl.vm.spawn_sandbox(write, allow_write_ops=True).calldata,
            list(items), note.n, free.text,
        ]
"""
READ: list[Any] = [
    7,
    [9],
    "changed",
    "Note(text='changed', n=1)",
    "in a map",
    [5],
    [0, 0],
    ["deep"],
]


def test_views_go_as_references_and_what_is_in_memory_as_copies() -> None:
    with running_chain() as chain:
        read, refused, written, *after = chain.deploy(VIEWS).call("ship")
    assert read == [*READ, "deep", 2, 8, "free", "first", 4, True]
    assert refused == "6: forbidden"
    assert written is None
    assert after == [[5, 6], 4, "free"]
