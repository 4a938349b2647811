"""Calldata: any bytes are one value or a `DecodeError`, and a value has one form."""

from __future__ import annotations

from functools import partial
from random import Random

from genvm_manager.protocol import calldata as codec
from tests.fuzz import odd_values
from tests.fuzz.pure import pure_tester
from tests.fuzz.target import Target


def make(random: Random) -> bytes:
    """Return calldata, or bytes that nearly are; some of it large."""
    kind = random.random()
    if kind < 0.03:
        unit = random.choice([b"\x05", b"\x06", b"\x00", b"\x09\x00", b"\x0c\x61"])
        count = random.choice([1000, 100_000, 1_000_000])
        return _uleb128(count << 3 | 5) + unit * count
    if kind < 0.05:
        return _uleb128(1 << random.choice([100, 5000, 1_000_000, 4_000_000]))
    return odd_values.calldata_bytes(random)


def _uleb128(number: int) -> bytes:
    digits = bin(number)[2:]
    digits = digits.zfill(-(-len(digits) // 7) * 7)
    groups = [int(digits[at : at + 7], 2) | 0x80 for at in range(0, len(digits), 7)]
    groups[0] &= 0x7F
    return bytes(reversed(groups))


def read(content: bytes) -> tuple[str, list[str]]:
    """Decode, and encode what that gives."""
    try:
        value = codec.decode(content)
    except codec.DecodeError as error:
        reason = str(error).split(" ")
        return f"DecodeError {' '.join(reason[:4])}", []
    if codec.encode(value) != content:
        return type(value).__name__, ["the value is encoded as other bytes"]
    return type(value).__name__, []


TARGET = Target(
    "calldata", "calldata, decoded and encoded again", make, partial(pure_tester, read), batch=400
)
