"""What a client sends over one connection: parts, with a moment in between."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import NamedTuple

from genvm_manager.protocol import calldata

from . import odd_values


class ClientStream(NamedTuple):
    """What one client sends. `is_whole`: as far as its maker knows, it asks for an answer."""

    parts: list[bytes]
    is_whole: bool

    def encode(self) -> bytes:
        """Return the stream as a file holds it."""
        return calldata.encode({"parts": self.parts, "is_whole": self.is_whole})


def decode(content: bytes) -> ClientStream:
    """Return what `encode` wrote."""
    fields = calldata.decode(content)
    return ClientStream(fields["parts"], fields["is_whole"])


def cut_up(random: Random, content: bytes) -> list[bytes]:
    """Return `content` in several parts."""
    if random.random() < 0.7:
        return [content]
    cuts = sorted(random.randrange(len(content) + 1) for _ in range(random.choice([1, 2, 5])))
    edges = [0, *cuts, len(content)]
    return [content[start:end] for start, end in pairwise(edges)]


def damaged(random: Random, content: bytes) -> ClientStream:
    """Return a stream that is cut short or has some bytes changed."""
    if random.random() < 0.4:
        return ClientStream(cut_up(random, content[: random.randrange(len(content))]), False)
    return ClientStream(cut_up(random, odd_values.mutated(random, content)), False)
