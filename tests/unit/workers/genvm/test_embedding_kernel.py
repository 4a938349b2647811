"""The kernel's arithmetic beside a plain one in Python, and its very bits."""

from __future__ import annotations

import hashlib
import math
import random
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from wasmtime import Instance, Module, Store

from genvm_manager.workers.genvm import embeddings
from genvm_manager.workers.genvm.engine.engine import new_engine

WIDTH, INNER, HEADS, TOKENS = 384, 1536, 12, 512
HEAD = WIDTH // HEADS
COUNT = 3

Rows = list[list[float]]


class Kernel:
    """An instance of the kernel; `step` calls a function with weights."""

    def __init__(self) -> None:
        engine = new_engine()
        wasm = Path(embeddings.__file__).with_name("kernel.wasm").read_bytes()
        self._store = Store(engine)
        self._store.set_epoch_deadline(1)
        instance = Instance(self._store, Module(engine, wasm), [])
        self._exports: Any = instance.exports(self._store)

    def put(self, name: str, numbers: Sequence[float]) -> None:
        at = self._exports[name](self._store)
        self._exports["memory"].write(self._store, array("f", numbers).tobytes(), at)

    def step(self, name: str, weights: Sequence[float], *arguments: int) -> list[float]:
        self.put("weights", weights)
        self._exports[name](self._store, *arguments)
        return self.vectors(COUNT)

    def vectors(self, count: int) -> list[float]:
        at = self._exports["vectors"](self._store)
        found = array("f")
        size = count * WIDTH * found.itemsize
        found.frombytes(self._exports["memory"].read(self._store, at, at + size))
        return found.tolist()


def numbers(seed: int, count: int) -> array[float]:
    """Numbers that every machine has alike, as single precision holds them."""
    drawn = random.Random(seed)
    return array("f", [(drawn.getrandbits(16) - 32768) / 500_000 for _ in range(count)])


class Weights:
    """Numbers that are taken from the begin on, as the kernel takes them."""

    def __init__(self, seed: int, count: int) -> None:
        self.all = numbers(seed, count)
        self._at = 0

    def take(self, count: int) -> Sequence[float]:
        self._at += count
        return self.all[self._at - count : self._at]

    def dense(self, width: int, rows: int) -> Callable[[Rows], Rows]:
        bias = self.take(rows)
        matrix = [self.take(width) for _ in range(rows)]
        return lambda vectors: [
            [math.sumprod(row, vector) + b for row, b in zip(matrix, bias, strict=True)]
            if hasattr(math, "sumprod")
            else [
                sum(map(float.__mul__, row, vector)) + b
                for row, b in zip(matrix, bias, strict=True)
            ]
            for vector in vectors
        ]

    def norm(self) -> Callable[[Rows], Rows]:
        shift, scale = self.take(WIDTH), self.take(WIDTH)
        return lambda vectors: [normalized(vector, scale, shift) for vector in vectors]


def normalized(vector: list[float], scale: Sequence[float], shift: Sequence[float]) -> list[float]:
    mean = math.fsum(vector) / WIDTH
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in vector) / WIDTH + 1e-12)
    return [
        (v - mean) / deviation * factor + more
        for v, factor, more in zip(vector, scale, shift, strict=True)
    ]


def added(one: Rows, other: Rows) -> Rows:
    return [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(one, other, strict=True)]


def attended(query: Rows, key: Rows, value: Rows) -> Rows:
    mixed = [[0.0] * WIDTH for _ in query]
    for head in range(0, WIDTH, HEAD):
        part = slice(head, head + HEAD)
        for token, wanted in enumerate(query):
            fits = [sum(map(float.__mul__, wanted[part], k[part])) / math.sqrt(HEAD) for k in key]
            shares = [math.exp(fit - max(fits)) for fit in fits]
            for share, v in zip(shares, value, strict=True):
                for at in range(head, head + HEAD):
                    mixed[token][at] += share / sum(shares) * v[at]
    return mixed


def rows(flat: list[float]) -> Rows:
    return [flat[at : at + WIDTH] for at in range(0, len(flat), WIDTH)]


def near(found: list[float], expected: Rows) -> bool:
    flat = [value for row in expected for value in row]
    return found == pytest.approx(flat, rel=1e-4, abs=2e-5)


def test_the_kernel_computes_what_the_model_says_and_to_the_same_bits_everywhere() -> None:
    kernel = Kernel()
    words = numbers(1, COUNT * WIDTH)
    kernel.put("vectors", words)
    weights = Weights(2, (2 + TOKENS + 1) * WIDTH)
    first = kernel.step("embed", weights.all, COUNT)
    norm, positions, segment = weights.norm(), weights.take(TOKENS * WIDTH), weights.take(WIDTH)
    expected = added(rows(words.tolist()), rows(list(positions[: COUNT * WIDTH])))
    expected = norm(added(expected, [list(segment)] * COUNT))
    assert near(first, expected)

    weights = Weights(3, 4 * WIDTH * WIDTH + 2 * WIDTH * INNER + 9 * WIDTH + INNER)
    second = kernel.step("layer", weights.all, COUNT)
    norm, output = weights.norm(), weights.dense(WIDTH, WIDTH)
    key, query, value = (weights.dense(WIDTH, WIDTH)(expected) for _ in range(3))
    expected = norm(added(expected, output(attended(query, key, value))))
    wide = weights.dense(WIDTH, INNER)(expected)
    wide = [[0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in row] for row in wide]
    norm = weights.norm()
    expected = norm(added(expected, weights.dense(INNER, WIDTH)(wide)))
    assert near(second, expected)

    weights = Weights(4, WIDTH + WIDTH * WIDTH)
    pooled = kernel.step("pool", weights.all)[:WIDTH]
    expected = [[math.tanh(v) for v in weights.dense(WIDTH, WIDTH)(expected[:1])[0]]]
    assert near(pooled, expected)

    content = array("f", [*first, *second, *pooled]).tobytes()
    assert hashlib.sha256(content).hexdigest() == BITS


BITS = "2182bdd25a9c4254bf9afac2792cc6e2918afe920bab2392684df5934a92bf0e"
"""The SHA-256 of all that is computed above: a machine with other bits breaks consensus."""
