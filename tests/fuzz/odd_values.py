"""Values that are seldom thought of: numbers at edges, texts, names, bytes."""

from __future__ import annotations

from random import Random
from typing import Any

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address

NUMBERS: list[int] = [
    *range(-2, 10), 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 1000, 1024, 4095, 4096, 65535,
    65536, 131071, 131072, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 53) + 1,
    (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 1 << 128, (1 << 256) - 1, 1 << 256,
    -(1 << 31), -(1 << 63), -(1 << 255), 10**100,
]  # fmt: skip

TEXTS: list[str] = [
    "", " ", "a", "0", "-1", "1_000", "+5", " 12 ", "\u0663", "1e400", "NaN", "Infinity", "null",
    "true", "\0", "a\0b", "\n", "a\r\nb", "\t", "\x7f", "\u200b", "\ufeff", "\u202e",
    "\U0001f600", "\u00e9", "e\u0301", "\ud800", "\udfff\ud800", "..", "../..", "/", "//",
    "/etc/passwd", "a/", "a/../b", ".", "contract/", "file", "runner.json", "${A}", "${HOME}",
    "${", "%s%n", "{}", "'\"\\", "<script>", "py-genlayer", "py-genlayer:test",
    "file:///etc/passwd", "http://localhost/", "unix:///x", "=", "A=B", "PATH", "default",
    "latest_final", "finalized", "accepted", "rwscn", "text", "html", "1s", "-5ms",
    "2026-02-03T04:05:06Z", "9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00+23:59",
]  # fmt: skip


def number(random: Random) -> int:
    """Return a whole number, mostly at some edge."""
    if random.random() < 0.8:
        return random.choice(NUMBERS)
    drawn = random.getrandbits(random.choice([8, 16, 32, 64, 300]))
    return -drawn if random.random() < 0.5 else drawn


def text(random: Random, longest: int = 1 << 12) -> str:
    """Return a text that may be odd, with lone surrogates among others."""
    kind = random.random()
    if kind < 0.7:
        return random.choice(TEXTS)
    if kind < 0.8:
        return random.choice(TEXTS) * random.randrange(1, max(2, longest // 8))
    return "".join(chr(random.choice([97, 0x1F, 0xE9, 0x20AC, 0x1F600])) for _ in range(9))


def encodable(random: Random, longest: int = 1 << 12) -> str:
    """Return the same without lone surrogates."""
    return text(random, longest).encode("utf-8", "replace").decode()


def some_bytes(random: Random, longest: int = 64) -> bytes:
    """Return bytes of any length up to `longest`."""
    return random.randbytes(random.choice([0, 1, 4, 8, 20, 31, 32, 33, longest]))


def calldata_value(random: Random, depth: int = 4) -> Any:
    """Return a value that calldata has, nested at most so deep."""
    kinds = 6 if depth <= 0 else 9
    match random.randrange(kinds):
        case 0:
            return random.choice([None, True, False])
        case 1 | 2:
            return number(random)
        case 3:
            return encodable(random, 256)
        case 4:
            return some_bytes(random)
        case 5:
            return Address(random.randbytes(20))
        case 6 | 7:
            return [calldata_value(random, depth - 1) for _ in range(random.randrange(4))]
        case _:
            names = {encodable(random, 64) for _ in range(random.randrange(4))}
            return {name: calldata_value(random, depth - 1) for name in sorted(names)}


def calldata_bytes(random: Random) -> bytes:
    """Return calldata, or bytes that nearly are."""
    kind = random.random()
    if kind < 0.5:
        return calldata.encode(calldata_value(random))
    if kind < 0.8:
        return mutated(random, calldata.encode(calldata_value(random)))
    if kind < 0.9:
        head = random.choice([b"\x0d", b"\x0e\x01a", b"\x15\x00", b"\x05", b"\x06"])
        return head * random.choice([3, 100, 127, 128, 129, 5000]) + b"\x00"
    return random.randbytes(random.randrange(40))


def mutated(random: Random, content: bytes) -> bytes:
    """Return `content` after a few small changes: bytes, cuts, repetitions, lengths."""
    changed = bytearray(content)
    for _ in range(random.choice([1, 1, 1, 2, 4, 16])):
        at = random.randrange(len(changed) + 1)
        match random.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << random.randrange(8)
            case 1 if at < len(changed):
                changed[at] = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)])
            case 2:
                del changed[at : at + random.choice([1, 1, 2, 4, 64])]
            case 3:
                changed[at:at] = random.randbytes(random.choice([1, 1, 2, 4, 16]))
            case 4:
                piece = changed[at : at + random.choice([1, 4, 16, 64])]
                changed[at:at] = piece * random.choice([1, 2, 50])
            case _:
                edge = random.choice([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF])
                changed[at : at + 4] = edge.to_bytes(4, random.choice(["little", "big"]))
    return bytes(changed)
