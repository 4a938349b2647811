"""The codec of the supervisor's socket: one MessagePack document per frame."""

from __future__ import annotations

import msgspec

from genvm_manager.base import errors
from genvm_manager.base.validation import NOT_DECODED

from .commands import Command, Hello
from .replies import Reply

VERSION = 5
"""Version of the protocol. Raise it with each change that the other side would misread."""

MAX_REPLY = 320 << 20
"""Bytes of the longest reply: a run's result and three outputs of 64 MiB each, kept in full."""

_encoder = msgspec.msgpack.Encoder()

_commands: msgspec.msgpack.Decoder[Hello | Command] = msgspec.msgpack.Decoder(Hello | Command)

_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: Hello | Command | Reply) -> bytes:
    """Return the body of the frame that carries a message."""
    return _encoder.encode(message)


def decode_command(body: bytes) -> Hello | Command:
    """Return the command in a frame's body. Raise `BadRequest` when it is not one."""
    try:
        return _commands.decode(body)
    except NOT_DECODED as error:
        raise errors.BadRequest(f"command: {error}") from None


def decode_reply(body: bytes) -> Reply:
    """Return the reply in a frame's body. Raise `ManagerError` when it is not one."""
    try:
        return _replies.decode(body)
    except NOT_DECODED as error:
        raise errors.ManagerError(f"the supervisor's reply is not understood: {error}") from None
