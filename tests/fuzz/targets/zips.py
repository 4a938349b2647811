"""ZIP archives, written byte by byte so that each field can be wrong."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import partial
from random import Random

from tests.fuzz import odd_values
from tests.fuzz.contract_trial import contract_tester
from tests.fuzz.target import Target
from tests.support.wat import returns

SECONDS = 2.0

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_RUNNER = b'{"StartWasm": "a.wasm"}'
_NAMES = [
    "runner.json", "version", "a.wasm", "file", "d/", "d/x", "../x", "/abs", "a//b", "a/./b",
    "a\\b", "C:x", "", ".", "x" * 5000, "\u00e9", "a\0b", "con", "d", "d/x/y",
]  # fmt: skip
_PLAIN_NAMES = ["version", "file", "d/x", "d/y", "d/e/z", "\u00e9", "con"]
_METHODS = [*[0] * 30, 8, 12, 14, 99, 0xFFFF]
_SIZES = [0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]


@dataclass
class _Entry:
    """One file, and all that its headers say of it."""

    name: bytes
    content: bytes
    method: int = 0
    flags: int = 0
    crc: int = 0
    packed: int = 0
    size: int = 0
    extra: bytes = b""
    offset: int = 0

    def __post_init__(self) -> None:
        self.crc = zlib.crc32(self.content)
        self.packed = self.size = len(self.content)
        if self.method == 8:
            squeezer = zlib.compressobj(wbits=-15)
            self.content = squeezer.compress(self.content) + squeezer.flush()
            self.packed = len(self.content)

    def local(self) -> bytes:
        head = _LOCAL.pack(
            b"PK\3\4", 20, self.flags, self.method, 0, 0, self.crc, self.packed, self.size,
            len(self.name), len(self.extra),
        )  # fmt: skip
        return head + self.name + self.extra + self.content

    def central(self) -> bytes:
        head = _CENTRAL.pack(
            b"PK\1\2", 20, 20, self.flags, self.method, 0, 0, self.crc, self.packed, self.size,
            len(self.name), len(self.extra), 0, 0, 0, 0, self.offset,
        )  # fmt: skip
        return head + self.name + self.extra


def make(random: Random) -> bytes:
    """Return one archive."""
    entries = _entries(random)
    if random.random() < 0.5:
        _spoil(random, random.choice(entries))
    archive = _written(random, entries)
    if random.random() < 0.25:
        archive = b"PK\3\4" + odd_values.mutated(random, archive)[4:]
    return archive


def _entries(random: Random) -> list[_Entry]:
    entries = [_Entry(b"runner.json", _RUNNER), _Entry(b"a.wasm", returns("started"))]
    names = random.sample(_NAMES if random.random() < 0.3 else _PLAIN_NAMES, 3)
    for chosen in names[: random.randrange(4)]:
        name = chosen.encode("utf-8", "surrogatepass")
        content = random.choice([b"", odd_values.some_bytes(random), bytes(100_000)])
        entries.append(_Entry(name, content, random.choice(_METHODS)))
    if random.random() < 0.05:
        count = random.choice([1000, 9_999, 10_000, 12_000, 70_000])
        entries += [_Entry(b"n%d" % number, b"") for number in range(count)]
    random.shuffle(entries)
    return entries


def _spoil(random: Random, entry: _Entry) -> None:
    match random.randrange(8):
        case 0:
            entry.crc ^= 1
        case 1:
            entry.size = random.choice(_SIZES)
        case 2:
            entry.packed = random.choice(_SIZES)
        case 3:
            entry.flags = random.choice([1, 8, 0x40, 0x800, 0x2000, 0xFFFF])
        case 4:
            entry.name = odd_values.some_bytes(random)
        case 5:
            entry.extra = b"\1\0" + odd_values.some_bytes(random)
        case 6:
            entry.extra = struct.pack("<2H3Q", 1, 24, 1 << 62, 1 << 62, 0)
            entry.size = entry.packed = 0xFFFFFFFF
        case _:
            entry.name = b"runner.json"


def _written(random: Random, entries: list[_Entry]) -> bytes:
    written = bytearray()
    is_overlapping = random.random() < 0.05
    for entry in entries:
        entry.offset = 0 if is_overlapping else len(written)
        written += entry.local()
    if random.random() < 0.05:
        random.choice(entries).offset = random.choice([0, 1, len(written), *_SIZES])
    start = len(written)
    for entry in entries * (2 if random.random() < 0.03 else 1):
        written += entry.central()
    size = len(written) - start
    if random.random() < 0.1:
        written += _zip64_end(random, len(entries), size, start)
    count = min(len(entries), 0xFFFF)
    if random.random() < 0.1:
        count, size = random.choice([0, 1, 0xFFFF]), random.choice([size, 0, 0xFFFFFFFF])
    if random.random() < 0.05:
        start = random.choice(_SIZES)
    comment = random.choice([b"", b"", b"", b"c" * 65_535, b"PK\5\6"])
    disk = random.choice([0, 0, 0, 0, 1, 0xFFFF])
    return bytes(written) + _END.pack(
        b"PK\5\6", disk, disk, count, count, size, start, len(comment)
    ) + comment  # fmt: skip


def _zip64_end(random: Random, count: int, size: int, start: int) -> bytes:
    odd = random.choice([count, 1 << 62, 0])
    end = _END64.pack(b"PK\6\6", 44, 45, 45, 0, 0, odd, odd, size, start)
    place = random.choice([start + size, 0, (1 << 64) - 1])
    return end + _LOCATOR.pack(b"PK\6\7", 0, place, random.choice([1, 0, 2]))


TARGET = Target(
    "zip",
    "ZIP archives with wrong fields, deployed",
    make,
    partial(contract_tester, SECONDS),
)
