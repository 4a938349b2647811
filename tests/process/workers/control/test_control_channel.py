"""The connection between a pool and a worker, both ends of it in one process."""

from __future__ import annotations

import os
import socket
from typing import Any

import psutil
import pytest

from genvm_manager.protocol.framing import FrameError, frame
from genvm_manager.protocol.llm_check import CheckConfig, CheckPrompt
from genvm_manager.workers.control import channel as control_channel
from genvm_manager.workers.control.channel import Channel
from genvm_manager.workers.control.messages import (
    Check,
    Connect,
    FromWorker,
    Load,
    Logging,
    Open,
    Ready,
    ToWorker,
    decode_from_worker,
    decode_to_worker,
)
from tests.support.pool import run, wait_until

QUIET = Logging("info", "json", "/nonexistent", ("hush-hush",))


class Ends:
    """A pool's end and a worker's, and what they have heard of each other.

    Without a `worker` the test itself is there, with the socket `raw`.
    """

    def __init__(self, *, has_worker: bool = True) -> None:
        ours, self.raw = socket.socketpair()
        self.heard: list[tuple[Any, list[socket.socket]]] = []
        self.lost = 0
        self.pool: Channel[FromWorker] = Channel(ours, decode_from_worker, self._hear, self._lose)
        self.worker: Channel[ToWorker] | None = None
        if has_worker:
            self.worker = Channel(self.raw, decode_to_worker, self._hear, self._lose)

    def close(self) -> None:
        self.pool.close()
        if self.worker is not None:
            self.worker.close()
        self.raw.close()
        for _, sockets in self.heard:
            for each in sockets:
                each.close()

    def _hear(self, message: Any, sockets: list[socket.socket]) -> None:
        self.heard.append((message, sockets))

    def _lose(self) -> None:
        self.lost += 1


def test_messages_and_descriptors_arrive_together_and_in_order() -> None:
    async def test() -> None:
        ends = Ends()
        assert ends.worker is not None
        pairs = [socket.socketpair() for _ in range(20)]
        images = [os.urandom(8 << 20)]
        prompt = CheckPrompt(None, "?", 0.5, 5, images)
        ends.pool.send(
            Check("m", [CheckConfig("h", "google", "x", "k")], [prompt], frozenset(), None, QUIET)
        )
        for index, (_, theirs) in enumerate(pairs):
            theirs.send(bytes([index]))
            ends.pool.send(Connect(), [theirs.detach()])
        ends.worker.send(Ready())
        ends.worker.send(Load(sessions=3, taken=4))
        await wait_until(lambda: len(ends.heard) == 23)
        check, *connects = [
            entry for entry in ends.heard if not isinstance(entry[0], (Ready, Load))
        ]
        assert check[0].prompts[0].images == images
        for index, (message, (passed,)) in enumerate(connects):
            assert isinstance(message, Connect)
            assert not passed.get_inheritable()
            assert pairs[index][0].recv(2) == bytes([index])
            pairs[index][0].close()
        ends.close()
        assert not ends.lost

    run(test)


def test_descriptors_are_closed_when_nobody_takes_them() -> None:
    async def test() -> None:
        before = psutil.Process().num_fds()
        ends = Ends(has_worker=False)
        ends.raw.close()
        for _ in range(3):
            ours, theirs = socket.socketpair()
            ends.pool.send(Connect(), [theirs.detach()])
            ours.close()
        await wait_until(lambda: ends.lost)
        ends.close()
        assert psutil.Process().num_fds() == before

    run(test)


@pytest.mark.parametrize(
    "said",
    [b"\xff\xff\xff\xff", frame(b"nonsense"), frame(b"\x81\xa4type\xa7Connect"), b"\0"],
    ids=["too long", "no message", "the other side's message", "cut off"],
)
def test_whoever_is_not_understood_is_left(said: bytes) -> None:
    async def test() -> None:
        ends = Ends(has_worker=False)
        ends.raw.send(said)
        ends.raw.shutdown(socket.SHUT_WR)
        await wait_until(lambda: ends.lost)
        assert (ends.heard, ends.lost) == ([], 1)
        ends.close()

    run(test)


def test_a_message_without_its_descriptor_is_not_understood() -> None:
    async def test() -> None:
        ends = Ends()
        ends.pool.send(Connect())
        await wait_until(lambda: ends.lost)
        assert not ends.heard
        ends.close()

    run(test)


def test_whoever_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_channel, "_MAX_WAITING", 100)

    async def test() -> None:
        ends = Ends(has_worker=False)
        for _ in range(100_000):
            ends.pool.send(Load(sessions=1, taken=1))
            if ends.lost:
                break
        assert ends.lost == 1
        ends.close()

    run(test)


def test_a_message_that_is_too_long_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_channel, "MAX_MESSAGE", 1_000)

    async def test() -> None:
        ends = Ends()
        with pytest.raises(FrameError, match="bytes is too long"):
            ends.pool.send(Open("m", bytes(1_000), False, False, QUIET))
        ends.pool.send(Connect(), [os.dup(ends.raw.fileno())])
        await wait_until(lambda: ends.heard)
        ends.close()

    run(test)


def test_messages_with_secrets_do_not_print_them() -> None:
    opening = Open("m", b'{"key": "sk-1234567"}', False, False, QUIET)
    asked = [CheckConfig("h", "google", "x", "sk-1234567")]
    check = Check("m", asked, [], frozenset(), None, QUIET)
    assert "sk-1" not in repr(opening) + repr(check)
    assert "hush" not in repr(opening) + repr(check)
