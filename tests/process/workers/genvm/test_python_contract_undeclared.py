"""Attributes that no field declares: a warning with the line, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.python_contracts import Chain, running_chain

SOURCE = """
import typing
from dataclasses import dataclass
from genlayer import *

T = typing.TypeVar("T")


@allow_storage
@dataclass
class Point:
    x: u8
    y: u8

    def move(self):
        self.z = 9


@allow_storage
@dataclass
class Pair(typing.Generic[T]):
    first: T


@allow_storage
@dataclass(frozen=True)
class Frozen:
    x: u8


class Hello(gl.Contract):
    greeting: str
    points: DynArray[Point]
    pair: Pair[u8]
    frozen: Frozen

    def __init__(self):
        self.greeting = "a"
        for n in range(3):
            self.greating = n
        self.points.append(Point(1, 2))
        self.points.append(Point(1, 2))
        self.pair.first = 4
        self.__dict__["quiet"] = 1
        print(self.greating)

    @property
    def loud(self):
        return self.greeting

    @loud.setter
    def loud(self, value):
        self.greeting = value

    @gl.public.write
    def move(self):
        for point in self.points:
            point.move()
        free = Point(3, 4)
        free.x = 5
        free.move()
        self.loud = "b"
        self.pair = gl.storage.inmem_allocate(Pair[u8], 1)

    @gl.public.write
    def many(self):
        for n in range(100):
            setattr(self, f"a{n}", n)

    @gl.public.write
    def in_block(self):
        def leader():
            self.block = 1
            return self.greeting

        return gl.eq_principle.strict_eq(leader)


class Other:
    def __init__(self):
        self.anything = 1


Other()
"""


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


def warned(stderr: str) -> list[str]:
    """Return the first sentence of each warning, and the line of the source below it."""
    lines = stderr.splitlines()
    assert len(lines) % 3 == 0, stderr
    return [
        f"{lines[n].partition(':')[2].partition(':')[0].strip()} | {lines[n + 2].strip()}"
        for n in range(0, len(lines), 3)
    ]


def test_an_attribute_without_a_field_is_warned_of_once(chain: Chain) -> None:
    contract = chain.deploy(SOURCE)
    assert contract.last.ended.stdout == b"2\n"
    assert warned(contract.last.stderr) == ["Hello declares no field greating | self.greating = n"]
    place = next(n for n, line in enumerate(SOURCE.splitlines(), 2) if "self.greating = n" in line)
    assert f'  File "contract.py", line {place}, in __init__\n' in contract.last.stderr
    moved = contract.calling("move")
    moved.returned()
    assert warned(moved.stderr) == ["Point declares no field z | self.z = 9"]


def test_the_result_is_as_without_the_warning(chain: Chain) -> None:
    declared = chain.deploy(
        SOURCE.replace("            self.greating = n", "            greating = n").replace(
            "print(self.greating)", "print(greating)"
        )
    )
    assert declared.last.stderr == ""
    contract = chain.deploy(SOURCE)
    slots = [key for key, _ in contract.last.result.storage_changes]
    assert slots == [key for key, _ in declared.last.result.storage_changes]


def test_warnings_are_bounded(chain: Chain) -> None:
    ended = chain.deploy(SOURCE).calling("many")
    ended.returned()
    assert len(warned(ended.stderr)) == 20


def test_a_block_warns_too(chain: Chain) -> None:
    ended = chain.deploy(SOURCE).calling("in_block")
    assert ended.returned() == "a"
    assert warned(ended.stderr) == ["Hello declares no field block | self.block = 1"]
