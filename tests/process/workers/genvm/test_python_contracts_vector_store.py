"""The `VecDB` of contracts, which keeps vectors with values, and finds what is near."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genvm_manager.workers.genvm.embeddings import weights
from tests.support.python_contracts import Chain, running_chain


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


STORE = b"""# {
#   "Seq": [
#     { "Depends": "py-lib-genlayer-embeddings:test" },
#     { "Depends": "py-genlayer:test" }
#   ]
# }
from genlayer import *
from dataclasses import dataclass
import typing
import numpy as np
import genlayer_embeddings as gle

@allow_storage
@dataclass
class Note:
    number: u256
    text: str

class Store(gl.Contract):
    notes: gle.VecDB[np.float32, typing.Literal[3], Note]
    near: gle.VecDB[np.float32, typing.Literal[5], str, gle.EuclideanDistanceSquared]
    after: u8

    def __init__(self):
        self.after = 7
    @gl.public.write
    def add(self, x: int, y: int, text: str) -> int:
        return self.notes.insert(np.array([x, y, 1], dtype=np.float32), Note(u256(x), text))
    @gl.public.write
    def rename(self, id: int, text: str) -> None:
        self.notes.get_by_id(id).value.text = text
    @gl.public.write
    def replace(self, id: int, text: str) -> None:
        self.notes.get_by_id(id).value = Note(u256(99), text)
    @gl.public.write
    def remove(self, text: str) -> None:
        for element in self.notes:
            if element.value.text == text:
                element.remove()
    @gl.public.view
    def all(self) -> list:
        return [[e.id, e.value.text, e.key.shape == (3,)] for e in self.notes]
    @gl.public.view
    def count(self) -> list:
        return [len(self.notes), len(self.near), self.after]
    @gl.public.view
    def nearest(self, x: int, y: int, k: int) -> list:
        found = self.notes.knn(np.array([x, y, 1], dtype=np.float32), k)
        return [[e.id, e.value.text, str(round(e.distance, 6))] for e in found]
    @gl.public.view
    def has(self, id: int) -> bool:
        return self.notes.get_by_id_or_none(id) is not None
    @gl.public.write
    def try_to_add(self, text: str) -> int:
        for key, number in ((np.array([1, 2]), 1), (np.array([1, 2, 3]), 1 << 256)):
            try:
                self.notes.insert(key, Note(number, text))
            except (AssertionError, OverflowError):
                pass
        return len(self.notes)
    @gl.public.write
    def in_block(self, text: str) -> str:
        notes = self.notes
        wanted = np.array([1, 1, 1], dtype=np.float32)
        return gl.eq_principle.strict_eq(
            lambda: next(notes.knn(wanted, 1)).value.text + str(len(self.notes))
        )
    @gl.public.write
    def show(self) -> str:
        self.near.insert(np.array([1, 2, 3, 4, 5], dtype=np.float32), '123')
        return str(list(self.near.knn(np.ones(5, dtype=np.float32), 1)))
"""


def test_a_store_finds_what_is_near_and_lasts_from_run_to_run(chain: Chain) -> None:
    store = chain.deploy(STORE)
    assert [store.call("add", x, 0, f"note {x}") for x in range(4)] == [0, 1, 2, 3]
    assert store.call("count") == [4, 0, 7]
    assert store.call("nearest", 2, 0, 2) == [[2, "note 2", "0.0"], [3, "note 3", "0.010051"]]
    store.call("rename", 1, "renamed")
    store.call("replace", 3, "replaced")
    assert [text for _, text, _ in store.call("all")] == ["note 0", "renamed", "note 2", "replaced"]


def test_an_element_that_was_removed_gives_its_place_to_the_next(chain: Chain) -> None:
    store = chain.deploy(STORE)
    for x in range(3):
        store.call("add", x, 0, f"note {x}")
    store.call("remove", "note 1")
    assert store.call("count")[0] == 2
    assert [each[0] for each in store.call("all")] == [0, 2]
    assert [store.call("has", number) for number in (0, 1, 2, 3)] == [True, False, True, False]
    assert store.call("add", 9, 9, "new") == 1
    assert store.call("nearest", 9, 9, 9)[0][:2] == [1, "new"]


def test_what_cannot_be_stored_leaves_the_others_as_they_were(chain: Chain) -> None:
    store = chain.deploy(STORE)
    store.call("add", 1, 0, "first")
    assert store.call("try_to_add", "none") == 1
    assert store.call("add", 2, 0, "second") == 1
    store.call("remove", "first")
    assert store.call("try_to_add", "none") == 1
    assert store.call("add", 3, 0, "third") == 0
    assert [each[:2] for each in store.call("all")] == [[0, "third"], [1, "second"]]


def test_a_store_goes_along_into_a_block(chain: Chain) -> None:
    store = chain.deploy(STORE)
    store.call("add", 5, 5, "far")
    store.call("add", 1, 1, "near")
    assert store.call("in_block", "x") == "near2"


def test_an_element_prints_as_on_the_network(chain: Chain) -> None:
    """The text is that of a public test case of the network's executor."""
    assert chain.deploy(STORE).call("show") == (
        "[VecDB.Element(id=0, key=array([1., 2., 3., 4., 5.], dtype=float32), value='123', "
        "distance=30.0)]"
    )


@pytest.mark.skipif(
    weights.find_weights() is None,
    reason="no weights of all-MiniLM-L6-v2 in .venv: run scripts/test, which fetches them",
)
def test_the_published_log_indexer(chain: Chain, published_contracts: Path) -> None:
    """The figures are those of the test that genlayer-test ships beside the contract."""
    logs = chain.deploy(published_contracts / "log_indexer.py")

    def closest(text: str) -> tuple[float, Any]:
        found = logs.call("get_closest_vector", text)
        assert len(found["vector"]) == 384
        return float(found["similarity"]), found["id"]

    assert logs.call("get_closest_vector", "I like mango") is None
    logs.call("add_log", "I like to eat mango", 0)
    assert 0.94 < closest("I like mango")[0] < 0.95
    logs.call("add_log", "I like carrots", 1)
    assert closest("I like carrots") == (1.0, 1)
    logs.call("update_log", 0, "I like to eat a lot of mangoes")
    assert 0.94 < closest("I like mango a lot")[0] < 0.95
    logs.call("remove_log", 0)
    assert 0.67 < closest("I like to eat mango")[0] < 0.68
    logs.call("add_log", "This is the third log", 3)
    similarity, number = closest("This is the third log")
    assert similarity > 0.99
    assert number == 3
