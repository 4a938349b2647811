"""Frames over real sockets: sizes, deadlines, ends; and the parser for event loops."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.protocol.framing import (
    FrameError,
    FrameParser,
    StreamEnded,
    frame,
    receive_frame,
    send_frame,
)
from tests.support.waiting import TIMEOUT


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_the_length_is_big_endian() -> None:
    assert frame(b"abc") == b"\0\0\0\3abc"


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_a_frame_arrives_whole(pair: tuple[socket.socket, socket.socket], size: int) -> None:
    one, other = pair
    body = bytes(size)
    sender = threading.Thread(target=send_frame, args=(one, body))
    sender.start()
    assert receive_frame(other, timeout=TIMEOUT) == body
    sender.join(TIMEOUT)


def test_a_long_frame_is_refused_before_its_body(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    one, other = pair
    one.sendall(b"\0\0\0\x0b")
    with pytest.raises(FrameError, match="11 bytes is announced, the limit is 10"):
        receive_frame(other, timeout=TIMEOUT, max_size=10)


def test_the_deadline_bounds_the_whole_frame(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    one.sendall(b"\0\0\0\5ab")
    with pytest.raises(TimeoutError):
        receive_frame(other, timeout=0.05)


def test_an_end_between_frames_differs_from_one_inside(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    one, other = pair
    one.sendall(frame(b"done") + b"\0\0\0\5ab")
    one.close()
    assert receive_frame(other, timeout=TIMEOUT) == b"done"
    with pytest.raises(FrameError, match="3 bytes before"):
        receive_frame(other, timeout=TIMEOUT)
    with pytest.raises(StreamEnded):
        receive_frame(other, timeout=TIMEOUT)


@given(st.lists(st.binary(max_size=300), max_size=10), st.lists(st.integers(1, 50), max_size=40))
def test_the_parser_finds_the_same_frames_in_any_cutting(
    bodies: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(frame(body) for body in bodies)
    parser, at = FrameParser(), 0
    found: list[bytes] = []
    for size in [*cuts, len(stream)]:
        found += parser.feed(stream[at : at + size])
        at += size
    assert found == bodies
    assert parser.idle


def test_the_parser_refuses_a_long_frame_at_its_head() -> None:
    with pytest.raises(FrameError, match="limit is 10"):
        list(FrameParser(max_size=10).feed(b"\0\0\0\x0b"))
