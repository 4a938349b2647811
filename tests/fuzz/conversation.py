"""What is sent over one connection: parts, with a moment in between, and how it ends."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import NamedTuple

from genvm_manager.protocol import calldata

from . import odd_values


class Conversation(NamedTuple):
    """`is_whole`: what is sent asks for an answer, as far as whoever made it knows."""

    parts: list[bytes]
    is_whole: bool

    def encode(self) -> bytes:
        """As a file holds it."""
        return calldata.encode({"parts": self.parts, "is_whole": self.is_whole})


def decode(content: bytes) -> Conversation:
    """What `encode` wrote."""
    fields = calldata.decode(content)
    return Conversation(fields["parts"], fields["is_whole"])


def cut_up(random: Random, content: bytes) -> list[bytes]:
    """The same in several parts."""
    if random.random() < 0.7:
        return [content]
    cuts = sorted(random.randrange(len(content) + 1) for _ in range(random.choice([1, 2, 5])))
    edges = [0, *cuts, len(content)]
    return [content[start:end] for start, end in pairwise(edges)]


def damaged(random: Random, content: bytes) -> Conversation:
    """A stream that is cut short or has some bytes changed."""
    if random.random() < 0.4:
        return Conversation(cut_up(random, content[: random.randrange(len(content))]), False)
    return Conversation(cut_up(random, odd_values.mutated(random, content)), False)
