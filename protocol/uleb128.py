"""ULEB128: numbers of any size in groups of 7 bits, in time linear in their size.

Source: docs/spec/02-calldata.md#calldata. The very same file also runs inside the WebAssembly
guest, where every import is paid for by each call of a contract: it imports nothing.
"""

from __future__ import annotations


def append_uleb128(out: bytearray, number: int) -> None:
    """Append a ULEB128 number, in time linear in its size."""
    while number >> 56:
        if number.bit_length() > 512:
            out += _long_uleb128(number)
            return
        out.append(number & 0x7F | 0x80)
        number >>= 7
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


_GROUPS = 8 << 10
"""Groups of 7 bits that are moved at once, a multiple of 8: the work stays linear."""


def _long_uleb128(number: int) -> bytes:
    """Return groups of 7 bits for a number of any size: shifting a huge one down is quadratic."""
    groups = -(-number.bit_length() // 7)
    packed = number.to_bytes(-(-groups // 8) * 7, "little")
    step = _GROUPS // 8 * 7
    out = bytearray()
    for at in range(0, len(packed), step):
        out += _spread(packed[at : at + step])
    del out[groups:]
    out[-1] &= 0x7F
    return bytes(out)


def _spread(packed: bytes) -> bytes:
    """Return each 7 bytes as 8 that have 7 bits each, and the high bit set."""
    lanes = len(packed) // 7
    wide = bytearray(8 * lanes)
    for index in range(7):
        wide[index::8] = packed[index::7]
    number = int.from_bytes(wide, "little")
    for low, width, gap in _HALVES:
        mask = _repeated(low, (width + gap) // 4, lanes)
        number = number & mask | (number & mask << width) << gap
    return (number | _repeated(0x80, 1, lanes)).to_bytes(8 * lanes, "little")


def _gathered(spread: bytes) -> bytes:
    """Undo `_spread`: return 7 bits of each byte. `spread` has a multiple of 8 bytes."""
    lanes = len(spread) // 8
    number = int.from_bytes(spread, "little")
    for low, width, gap in reversed(_HALVES):
        mask = _repeated(low, (width + gap) // 4, lanes)
        number = number & mask | number >> gap & mask << width
    packed = bytearray(number.to_bytes(8 * lanes, "little"))
    del packed[7::8]
    return bytes(packed)


_HALVES = ((0xFFFFFFF, 28, 4), (0x3FFF, 14, 2), (0x7F, 7, 1))
"""How lanes are halved: the low half's bits, how many they are, and the gap that comes behind."""


def _repeated(low: int, size: int, lanes: int) -> int:
    """Return `low` in each `size` bytes of so many lanes of 8 bytes."""
    return int.from_bytes(low.to_bytes(size, "little") * (8 * lanes // size), "little")


def read_uleb128(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at `at`, and where it ends.

    A last byte 0 pads the number; that is for the caller to refuse. Raises `IndexError` where
    `data` ends inside the number.
    """
    for end in range(at, at + 72):
        if data[end] < 0x80:
            break
    else:
        end = _last_group(data, at + 72)
    last = data[end]
    if end - at < 72:
        number = last
        for byte in reversed(data[at:end]):
            number = number << 7 | byte & 0x7F
        return number, end + 1
    packed = bytearray()
    for start in range(at, end + 1, _GROUPS):
        part = data[start : min(start + _GROUPS, end + 1)]
        packed += _gathered(part + bytes(-len(part) % 8))
    return int.from_bytes(packed, "little"), end + 1


def _last_group(data: bytes, end: int) -> int:
    """Return where a number that continues up to `end`, at least, has its last byte."""
    while part := data[end : end + _GROUPS]:
        rest = part.lstrip(_CONTINUING)
        end += len(part) - len(rest)
        if rest:
            break
    return end


_CONTINUING = bytes(range(0x80, 0x100))
"""The bytes of a number behind which another one comes."""
