"""What executors and module workers read of each other: frames, cut up in any way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from genvm_manager.protocol import calldata, module_frames
from genvm_manager.protocol.errors import MalformedMessage
from genvm_manager.protocol.framing import FrameError, FrameParser, frame
from tests.fuzz import odd_values
from tests.fuzz.pure import pure_tester
from tests.fuzz.target import Target

_MAX_SIZE = 1 << 20
_READERS: tuple[Callable[[bytes], Any], ...] = (
    module_frames.decode_hello,
    module_frames.decode_request,
    module_frames.decode_answer,
)
_EXPECTED = (
    MalformedMessage,
    module_frames.UserFault,
    module_frames.FatalFault,
)


def make(random: Random) -> bytes:
    """Return a stream of some frames."""
    stream = b"".join(frame(_body(random)) for _ in range(random.choice([1, 1, 2, 5])))
    return odd_values.mutated(random, stream) if random.random() < 0.4 else stream


def _body(random: Random) -> bytes:
    value: Any = odd_values.calldata_value(random)
    match random.randrange(7):
        case 0:
            value = {"genvm_id": odd_values.number(random), "host_data": value}
        case 1:
            value = {random.choice(["Prompt", "Render", "Request"]): value}
        case 2:
            value = {"Ok": value}
        case 3:
            value = {"UserError": {"causes": [value, "X"], "ctx": {"a": value}}}
        case 4:
            value = {"FatalError": value}
        case 5:
            return odd_values.calldata_bytes(random)
        case _:
            pass
    return calldata.encode(value)


def read(content: bytes) -> tuple[str, list[str]]:
    """Take the stream in one piece and byte by byte, and read each frame as everything."""
    whole, pieces = _bodies([content]), _bodies([bytes([byte]) for byte in content])
    outcomes = [_outcome(reader, body) for body in whole if body for reader in _READERS]
    faults = [] if whole == pieces else ["cut up, the stream has other frames"]
    return f"{len(whole)} frames, {len(set(outcomes))} kinds of end", faults


def _bodies(parts: list[bytes]) -> list[bytes | None]:
    parser = FrameParser(_MAX_SIZE)
    bodies: list[bytes | None] = []
    try:
        for part in parts:
            bodies += parser.feed(part)
    except FrameError:
        bodies.append(None)
    return bodies


def _outcome(reader: Callable[[bytes], Any], body: bytes) -> str:
    try:
        return type(reader(body)).__name__
    except _EXPECTED as error:
        return type(error).__name__


TARGET = Target(
    "module-frames", "frames between executors and modules", make, partial(pure_tester, read), 200
)
