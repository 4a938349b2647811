"""Keccak-256, the hash of Ethereum addresses (the original padding, not NIST's SHA3-256).

The standard library has SHA-3 only, and this module also runs inside the WebAssembly guest, where
no compiled package can be had; so one small implementation serves both. An interpreted operation
costs there what a hundred machine words do, so the whole state of 25 lanes is one number, and a
step of a round is a few operations on all lanes at once.
"""

from __future__ import annotations

__all__ = ("Keccak256", "KeccakHash")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

_LANE = 64
_ROW = 5 * _LANE
_STATE = 25 * _LANE
_FULL_LANE = (1 << _LANE) - 1


def _low_bits(count: int) -> int:
    """Return the lowest `count` bits of every lane."""
    return sum(((1 << count) - 1) << bit for bit in range(0, _STATE, _LANE))


def _columns(*chosen: int) -> int:
    """Return all bits of the lanes in these columns."""
    column = sum(_FULL_LANE << bit for bit in range(0, _STATE, _ROW))
    return sum(column << _LANE * number for number in chosen)


def _round_constants() -> list[int]:
    """Return iota's constants, from their definition (Keccak reference, 1.2)."""
    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for bit in range(7):
            if register & 1:
                constant |= 1 << ((1 << bit) - 1)
            register <<= 1
            if register & 0x100:
                register ^= 0x171
        constants.append(constant)
    return constants


def _rotations() -> list[int]:
    """Return how far rho rotates each lane."""
    rotations = [0] * 25
    x, y = 1, 0
    for step in range(24):
        rotations[x + 5 * y] = (step + 1) * (step + 2) // 2 % _LANE
        x, y = y, (2 * x + 3 * y) % 5
    return rotations


def _bit_rotations(rotations: list[int]) -> list[tuple[int, int, int, int, int]]:
    """Return rho's rotations by 1, 2 and 4 bits: lanes, distance, bits kept, the rest of each."""
    steps = []
    for by in (1, 2, 4):
        lanes = sum(_FULL_LANE << _LANE * i for i, r in enumerate(rotations) if r & by)
        low = _low_bits(by)
        steps.append((lanes, by, _low_bits(_LANE) ^ low, _LANE - by, low))
    return steps


def _byte_moves(rotations: list[int]) -> bytes:
    """Return which byte of the state pi, and rho's rotations by whole bytes, put at each place."""
    moves = bytearray(_STATE // 8)
    for x in range(5):
        for y in range(5):
            source, target = x + 5 * y, y + 5 * ((2 * x + 3 * y) % 5)
            turn = rotations[source] // 8
            for byte in range(8):
                moves[8 * target + (byte + turn) % 8] = 8 * source + byte
    return bytes(moves)


def _permutation() -> Callable[[int], int]:
    """Return Keccak-f[1600], with its tables."""
    round_constants = _round_constants()
    bit_rotations = _bit_rotations(_rotations())
    byte_moves = _byte_moves(_rotations())
    each_row = sum(1 << bit for bit in range(0, _STATE, _ROW))
    first_row = (1 << _ROW) - 1
    top_63_bits, lowest_bit = _low_bits(_LANE) ^ _low_bits(1), _low_bits(1)
    columns_0_to_3, column_4 = _columns(0, 1, 2, 3), _columns(4)
    columns_0_to_2, columns_3_and_4 = _columns(0, 1, 2), _columns(3, 4)

    def permute(state: int) -> int:
        for constant in round_constants:
            parity = state ^ state >> _ROW
            parity = (parity ^ parity >> 2 * _ROW ^ state >> 4 * _ROW) & first_row
            after = parity >> _LANE | (parity & _FULL_LANE) << 4 * _LANE
            turned = after << 1 & top_63_bits | after >> _LANE - 1 & lowest_bit
            before = parity << _LANE & first_row | parity >> 4 * _LANE
            state ^= (turned ^ before) * each_row
            for lanes, left, high, right, low in bit_rotations:
                chosen = state & lanes
                state ^= chosen ^ (chosen << left & high | chosen >> right & low)
            state = int.from_bytes(byte_moves.translate(state.to_bytes(256, "little")), "little")
            beside = state >> _LANE & columns_0_to_3 | state << 4 * _LANE & column_4
            beyond = state >> 2 * _LANE & columns_0_to_2 | state << 3 * _LANE & columns_3_and_4
            state ^= ~beside & beyond ^ constant
        return state

    return permute


_made: list[Callable[[int], int]] = []


def _permute(state: int) -> int:
    """Return the permutation, made when it is first needed: most runs never hash."""
    if not _made:
        _made.append(_permutation())
    return _made[0](state)


class KeccakHash:
    """A hash of the Keccak family, with the interface of hashlib's objects.

    `initial` is the beginning of the hashed message. Subclasses say their sizes in bytes.
    """

    digest_size: int
    block_size: int
    name: str

    def __init__(self, initial: bytes | bytearray | memoryview | None = None) -> None:
        self._state = 0
        self._rest = b""
        if initial is not None:
            self.update(initial)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data` to the hashed message."""
        waiting = self._rest + memoryview(data)
        rate = self.block_size
        whole = len(waiting) - len(waiting) % rate
        for start in range(0, whole, rate):
            block = int.from_bytes(waiting[start : start + rate], "little")
            self._state = _permute(self._state ^ block)
        self._rest = waiting[whole:]

    def digest(self) -> bytes:
        """Return the hash of all that was given so far."""
        last = bytearray(self._rest.ljust(self.block_size, b"\0"))
        last[len(self._rest)] ^= 0x01
        last[-1] ^= 0x80
        state = _permute(self._state ^ int.from_bytes(last, "little"))
        return (state & (1 << 8 * self.digest_size) - 1).to_bytes(self.digest_size, "little")

    def hexdigest(self) -> str:
        """Return the same as lower-case hex digits."""
        return self.digest().hex()

    def copy(self) -> Self:
        """Return a hash that goes on from here by itself."""
        twin = type(self)()
        twin._state, twin._rest = self._state, self._rest
        return twin


class Keccak256(KeccakHash):
    """Keccak-256."""

    digest_size = 32
    block_size = 136
    name = "keccak256"


def keccak256(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 of `data`."""
    return Keccak256(data).digest()
