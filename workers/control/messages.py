"""The messages between a pool and its workers: one struct for each.

Configurations and keys are sent by these messages only.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from genvm_manager.base.errors import ManagerError, from_wire
from genvm_manager.base.logging.lines import Form, Level
from genvm_manager.protocol.llm_check import CheckConfig, CheckPrompt, CheckRow


class Logging(Struct, frozen=True):
    """How a worker logs. `secrets` are texts that no line may show.

    `level` is for the time until the worker has read the one that its service has in common, in
    `state_folder`.
    """

    level: Level
    form: Form
    state_folder: str
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Show no secret: this text may be logged itself."""
        return f"<Logging {self.level} {self.form}>"


# ------------------------------------------------------------------------------ pool to worker


class Open(Struct, tag=True, frozen=True):
    """Open a module; answered by `Ready` or `Failed`. The first message.

    `module` is the dotted name of a module with an `open_module`, `config` a JSON object. As many
    listening sockets come along as `descriptors` says. For the rest see `ModuleOptions`.
    """

    module: str
    config: bytes
    allow_empty_backends: bool
    user_error: bool
    logging: Logging
    tells_of_config: bool = False
    descriptors: int = 0
    unset_variables: dict[str, str] = {}

    def __repr__(self) -> str:
        """Show no configuration: there are keys in it."""
        return f"<Open {self.module}>"


class Connect(Struct, tag=True, frozen=True):
    """Serve an executor's connection, which comes along."""

    descriptors: int = 1


class Drain(Struct, tag=True, frozen=True):
    """Take no more connections from the listening sockets."""


class Stop(Struct, tag=True, frozen=True):
    """Close all connections and end."""


class Check(Struct, tag=True, frozen=True):
    """Ask providers, answer `Checked` or `Failed`, and end. Instead of `Open`.

    `module` is the dotted name of a module with a `check`. `status_only` and `proxy`: see there.
    """

    module: str
    configs: list[CheckConfig]
    prompts: list[CheckPrompt]
    status_only: frozenset[int]
    proxy: str | None
    logging: Logging


ToWorker = Open | Connect | Drain | Stop | Check

# ------------------------------------------------------------------------------ worker to pool


class Ready(Struct, tag=True, frozen=True):
    """The module answers requests. `shortage`: see `genvm_manager.workers.worker.module.Module`."""

    shortage: str | None = None


class Failed(Struct, tag=True, frozen=True):
    """The order cannot be done; the worker ends."""

    code: str
    message: str

    def error(self) -> ManagerError:
        """Return the error itself, to be raised on this side."""
        return from_wire(self.code, self.message)


class Load(Struct, tag=True, frozen=True):
    """How many connections are open, and how many were received so far of those handed over.

    Sent with each change and every `HEARTBEAT` seconds.
    """

    sessions: int
    taken: int


class Checked(Struct, tag=True, frozen=True):
    """What a check has found."""

    rows: list[CheckRow]


FromWorker = Ready | Failed | Load | Checked

HEARTBEAT = 5.0
"""Seconds after which a worker sends something at the latest."""

_encoder = msgspec.msgpack.Encoder()
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


def encode(message: ToWorker | FromWorker) -> bytes:
    """Return the body of a frame."""
    return _encoder.encode(message)


def decode_to_worker(body: bytes) -> ToWorker:
    """Return the message in a frame from the pool. Raises `msgspec.DecodeError`."""
    return _to_worker.decode(body)


def decode_from_worker(body: bytes) -> FromWorker:
    """Return the message in a frame from a worker. Raises `msgspec.DecodeError`."""
    return _from_worker.decode(body)
