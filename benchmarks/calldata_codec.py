"""Speed of encoding and decoding calldata."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from genvm_manager.protocol.calldata import Address, decode, encode

from .figures import Figure


def mixed_value(size: int) -> list[Any]:
    """Return about `size` bytes of records with every type, the same each time."""
    chance = random.Random(1)
    records: list[Any] = []
    while size > 0:
        record = {
            "address": Address(chance.randbytes(20)),
            "amount": chance.randrange(1 << 64),
            "supply": chance.randrange(1 << 256),
            "name": "x" * chance.randrange(40),
            "payload": chance.randbytes(chance.randrange(200)),
            "is_open": True,
            "tags": ["a", "bb", None, -5],
        }
        records.append(record)
        size -= len(encode(record))
    return records


def figures(rounds: int) -> Iterator[Figure]:
    """Measure encoding and decoding."""
    value = mixed_value(1 << 20)
    encoded = encode(value)
    megabytes = len(encoded) / 1e6
    works: list[tuple[str, Callable[[Any], Any], Any]] = [
        ("calldata encode, 1 MiB mixed", encode, value),
        ("calldata decode, 1 MiB mixed", decode, encoded),
    ]
    for name, work, argument in works:
        figure = Figure(name, "MB/s")
        for _ in range(rounds):
            began = time.perf_counter()
            work(argument)
            figure.rounds.append(megabytes / (time.perf_counter() - began))
        yield figure
