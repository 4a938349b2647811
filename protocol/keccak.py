"""Keccak-256, the hash of Ethereum addresses (the original padding, not NIST's SHA3-256).

The standard library has SHA-3 only, and this module also runs inside the WebAssembly guest, where
no compiled package can be had; so one small implementation serves both.
"""

_RATE = 136
_MASK = (1 << 64) - 1
_ROUND_CONSTANTS: list[int] = []
_ROTATIONS = [0] * 25
_DESTINATIONS = [0] * 25


def _fill_tables() -> None:
    """Derive the constants of Keccak-f[1600] from their definition (Keccak reference, 1.2)."""
    register = 1
    for _ in range(24):
        constant = 0
        for bit in range(7):
            if register & 1:
                constant |= 1 << ((1 << bit) - 1)
            register <<= 1
            if register & 0x100:
                register ^= 0x171
        _ROUND_CONSTANTS.append(constant)
    x, y = 1, 0
    for step in range(24):
        _ROTATIONS[x + 5 * y] = (step + 1) * (step + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    for x in range(5):
        for y in range(5):
            _DESTINATIONS[x + 5 * y] = y + 5 * ((2 * x + 3 * y) % 5)


_fill_tables()


def _permute(lanes: list[int]) -> None:
    for constant in _ROUND_CONSTANTS:
        parity = [
            lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]
            for x in range(5)
        ]
        moved = [0] * 25
        for x in range(5):
            turned = parity[(x + 1) % 5]
            mix = parity[x - 1] ^ (((turned << 1) | (turned >> 63)) & _MASK)
            for i in range(x, 25, 5):
                lane, by = lanes[i] ^ mix, _ROTATIONS[i]
                moved[_DESTINATIONS[i]] = ((lane << by) | (lane >> (64 - by))) & _MASK
        for row in range(0, 25, 5):
            for x in range(5):
                beside, beyond = moved[row + (x + 1) % 5], moved[row + (x + 2) % 5]
                lanes[row + x] = moved[row + x] ^ (~beside & beyond)
        lanes[0] ^= constant


class Keccak256:
    """Streaming Keccak-256 with the interface of hashlib's objects."""

    digest_size = 32
    block_size = _RATE
    name = "keccak256"

    def __init__(self, data: bytes = b"") -> None:
        self._lanes = [0] * 25
        self._rest = b""
        self.update(data)

    def update(self, data: bytes) -> None:
        """Append `data` to the hashed message."""
        waiting = self._rest + bytes(data)
        whole = len(waiting) - len(waiting) % _RATE
        for start in range(0, whole, _RATE):
            self._absorb(self._lanes, waiting[start : start + _RATE])
        self._rest = waiting[whole:]

    def digest(self) -> bytes:
        """The 32 bytes of the hash of all that was given so far."""
        lanes = self._lanes.copy()
        last = bytearray(self._rest.ljust(_RATE, b"\0"))
        last[len(self._rest)] ^= 0x01
        last[-1] ^= 0x80
        self._absorb(lanes, bytes(last))
        return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])

    def hexdigest(self) -> str:
        """The same as 64 lower-case hex digits."""
        return self.digest().hex()

    @staticmethod
    def _absorb(lanes: list[int], block: bytes) -> None:
        for i in range(_RATE // 8):
            lanes[i] ^= int.from_bytes(block[8 * i : 8 * i + 8], "little")
        _permute(lanes)


def keccak256(data: bytes) -> bytes:
    """The 32-byte Keccak-256 of `data`."""
    return Keccak256(data).digest()
