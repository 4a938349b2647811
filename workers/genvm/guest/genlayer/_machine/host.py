"""The way out of the guest: requests to the host, as frames on its device file.

The frames are those of `workers/genvm/python/bridge.py`. Everything here is small, because each
Python contract waits for its import. What the host refuses is `SystemError("<code>: <name>")`, in
all functions (docs/spec/07-python-sdk.md#1-modules).
"""

from __future__ import annotations

import posix

from ..py.calldata import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NO_RESULT = 0xFFFFFFFF
"""The size, or the descriptor, of the answer where there is none."""

_PATH = "/genvm/host"
_DEVICE = posix.open(_PATH, posix.O_RDWR)
_SLOT_SIZE = 32
_INVAL = 2

_NAMES = ("success", "overflow", "inval", "fault", "ilseq", "io", "forbidden", "inbalance")


def _refusal(code):
    name = _NAMES[code] if code < len(_NAMES) else "unknown"
    return SystemError(f"{code}: {name}")


def _ask(frame, size):
    """Send one request, and return the first `size` bytes of its answer."""
    try:
        posix.write(_DEVICE, frame)
    except OSError:
        raise _refusal(posix.read(_DEVICE, 1)[0]) from None
    return posix.read(_DEVICE, size) if size else b""


def storage_read(slot: bytes, index: int, length: int) -> bytes:
    """Return `length` bytes of storage from byte `index` of `slot`."""
    at = index.to_bytes(4, "little") + length.to_bytes(4, "little")
    return _ask(b"\0" + slot + at, length)


def write_to(slot: bytes, index: int, data: bytes) -> tuple[bytes, bytes]:
    """Return what `storage_write` takes to put all of `data` at byte `index` of `slot`."""
    if len(slot) != _SLOT_SIZE:
        raise _refusal(_INVAL)
    return slot + index.to_bytes(4, "little") + len(data).to_bytes(4, "little"), data


def storage_write(parts: Iterable[bytes]) -> None:
    """Do one write after the other, up to the first one that is refused."""
    _ask(b"".join((b"\1", *parts)), 0)


def get_balance(address: bytes) -> int:
    """Return the balance of the account with these 20 bytes."""
    return int.from_bytes(_ask(b"\2" + address, 32), "little")


def get_self_balance() -> int:
    """Return the contract's own balance, less the value that its messages of this run send."""
    return int.from_bytes(_ask(b"\3", 32), "little")


def gl_call(request: object) -> bytes | None:
    """Do what the calldata value `request` says; return the answer, None where there is none.

    Does not return from `Return` and `UserError`.
    """
    size = int.from_bytes(_ask(b"\4" + encode(request), 4), "little")
    return None if size == NO_RESULT else _read(size)


def out_of_memory() -> None:
    """End the run with the VM error `OOM`, as it has to after a `MemoryError`."""
    posix.write(_DEVICE, b"\5")


def embed(tokens: list[int]) -> bytes:
    """Return the vector of a text whose word pieces have these numbers, 384 floats."""
    return _ask(b"\10" + b"".join(token.to_bytes(2, "little") for token in tokens), 384 * 4)


def gl_call_to_descriptor(request: bytes) -> int:
    """Do what `request` says, which is calldata; return a descriptor from which to read the answer.

    `NO_RESULT` where there is none.
    """
    has_answer = _ask(b"\7" + request, 1)[0]
    return posix.open(_PATH, posix.O_RDONLY) if has_answer else NO_RESULT


def report_failure(text: str) -> None:
    """Tell why the run is about to end: one line for the author, then what else helps."""
    _ask(b"\6" + text.encode("utf-8", "backslashreplace"), 0)


def _read(size):
    parts = []
    while size:
        part = posix.read(_DEVICE, size)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
