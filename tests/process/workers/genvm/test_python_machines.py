"""How other machines of a Python contract's run end, and what is kept of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.python_contracts import Chain, Contract, running_chain

SOURCE = """
import atexit
import dataclasses
import os
import sys
import typing
from genlayer import *

class Machines(gl.Contract):
    count: u32

    def __init__(self):
        self.count = 7
        print(gl.vm.spawn_sandbox(lambda: [gl.message_raw["is_init"], self.count]))

    @gl.public.write
    def results(self) -> typing.Any:
        class Mine(gl.vm.UserError):
            pass
        given = [gl.vm.Return([1]), gl.vm.UserError("u"), gl.vm.VMError("v"), Mine("u")]
        assert [isinstance(each, gl.vm.Result) for each in given] == [True] * 4
        assert [dataclasses.is_dataclass(each) for each in given] == [True] * 4
        assert dataclasses.replace(given[0], calldata=2) == gl.vm.Return(2)
        assert [field.name for field in dataclasses.fields(gl.vm.VMError)] == ["message"]
        assert given[1] != given[3] and given[3] == Mine(message="u")
        @dataclasses.dataclass
        class Coded(gl.vm.UserError):
            code: int
        @dataclasses.dataclass(repr=False, eq=False)
        class Bare(gl.vm.UserError):
            code: int
        assert str(Bare("u", 5)).endswith("Bare(message='u')") and Bare("u", 5) == Bare("u", 6)
        assert str(Coded("u", 5)) == repr(Coded("u", 5))
        for each in given:
            try:
                hash(each)
            except TypeError:
                pass
            else:
                raise AssertionError(each)
        return [repr(each) for each in [*given, Coded("u", 5)]]

    @gl.public.write
    def end(self, how: str) -> typing.Any:
        def act():
            match how:
                case "number": raise gl.vm.UserError(5)
                case "subclass":
                    class Mine(gl.vm.UserError):
                        pass
                    raise Mine("mine")
                case "text": sys.exit("a text")
                case "none": sys.exit()
                case "at once": os._exit(0)
                case "memory": raise MemoryError
                case "interrupt": raise GeneratorExit
                case "atexit":
                    atexit.register(print, "bye")
                    raise gl.vm.UserError("gone")
                case "exit and bye":
                    atexit.register(print, "bye")
                    sys.exit(3)
                case "set": return {1}
        return repr(gl.vm.spawn_sandbox(act))

    @gl.public.write
    def allowed(self, allow: bool, fails: bool) -> typing.Any:
        def act():
            refused = []
            def attempt(what):
                try:
                    what()
                except SystemError as error:
                    refused.append(str(error))
            attempt(lambda: setattr(self, "count", 8))
            attempt(lambda: gl.advanced.emit_raw_event([], {"from": "sandbox"}))
            attempt(lambda: gl.get_contract_at(self.address).view().get())
            attempt(lambda: gl.eq_principle.strict_eq(lambda: 1))
            attempt(lambda: gl.nondet.exec_prompt("x"))
            assert self.balance == 5
            if fails:
                raise gl.vm.UserError(repr(refused))
            return refused
        self.count += 1
        result = gl.vm.spawn_sandbox(act, allow_write_ops=allow)
        return [repr(result), self.count]

    @gl.public.write
    def balances(self) -> typing.Any:
        def act():
            try:
                self.balance
            except SystemError as error:
                return [str(error), gl.get_contract_at(self.address).balance]
        return gl.vm.run_nondet_unsafe(act, lambda _: True)

    @gl.public.view
    def get(self) -> int:
        return self.count
"""


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


@pytest.fixture(scope="module")
def machines(chain: Chain) -> Contract:
    return chain.deploy(SOURCE)


def test_a_sandbox_of_a_constructor_is_no_deployment(chain: Chain) -> None:
    assert chain.deploy(SOURCE).last.ended.stdout == b"Return(calldata=[False, 7])\n"


def test_results_are_dataclasses(machines: Contract) -> None:
    assert machines.call("results") == [
        "Return(calldata=[1])",
        "UserError(message='u')",
        "VMError(message='v')",
        "Machines.results.<locals>.Mine(message='u')",
        "Machines.results.<locals>.Coded(message='u', code=5)",
    ]


@pytest.mark.parametrize(
    ("how", "result", "printed"),
    [
        ("number", "VMError(message='exit_code 1')", ""),
        ("subclass", "UserError(message='mine')", ""),
        ("text", "VMError(message='exit_code 1')", ""),
        ("none", "Return(calldata=None)", ""),
        ("at once", "Return(calldata=None)", ""),
        ("memory", "VMError(message='exit_code 1')", ""),
        ("interrupt", "VMError(message='exit_code 1')", ""),
        ("atexit", "UserError(message='gone')", "bye\n"),
        ("exit and bye", "VMError(message='exit_code 3')", "bye\n"),
        ("set", "VMError(message='exit_code 1')", ""),
    ],
)
def test_how_a_sandbox_ends(machines: Contract, how: str, result: str, printed: str) -> None:
    assert machines.call("end", how) == result
    assert machines.last.ended.stdout.decode() == printed


FORBIDDEN = "6: forbidden"


@pytest.mark.parametrize(
    ("allow", "fails", "refused", "kept"),
    [(True, False, 3, True), (True, True, 3, False), (False, False, 5, False)],
)
def test_what_a_sandbox_may_do_and_what_is_kept(
    machines: Contract, allow: bool, fails: bool, refused: int, kept: bool
) -> None:
    machines.chain.node.balances[machines.address] = 5
    before: int = machines.call("get")
    ended = machines.attempt({"method": "allowed", "args": [allow, fails]})
    result, count = ended.returned()
    assert result.count(FORBIDDEN) == refused
    assert count == (8 if kept else before + 1)
    events: list[Any] = [{"type": "EmitEvent", "topics": [], "blob": {"from": "sandbox"}}]
    assert ended.result.emissions == (events if kept else [])


def test_a_block_knows_no_balance_of_its_own(machines: Contract) -> None:
    machines.chain.node.balances[machines.address] = 5
    assert machines.call("balances") == [FORBIDDEN, 5]
