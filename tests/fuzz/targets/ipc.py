"""Frames on the supervisor's socket: commands with odd fields, damaged frames, wrong lengths."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, get_args

import msgspec
import psutil

from genvm_manager.base import errors
from genvm_manager.protocol.framing import FrameError, frame, receive_frame
from genvm_manager.protocol.ipc import codec
from genvm_manager.protocol.ipc.commands import Command, Hello
from genvm_manager.protocol.ipc.replies import Failure, Reply, Welcome
from tests.fuzz import client_stream, odd_values
from tests.fuzz.client_stream import ClientStream, cut_up, damaged
from tests.fuzz.observation import Observation
from tests.fuzz.service_watch import LogWatch, ProcessUse
from tests.fuzz.target import Target, Tester
from tests.support.supervisor import RunningSupervisor, start_command
from tests.support.waiting import wait_until

REPLY = 0.5
"""Seconds for a reply; a command may wait longer for what it was asked to wait for."""

ALIVE = 30.0
"""Seconds in which a new client must be answered, and an old one be forgotten."""

_CONNECTED = "03"
PAUSE = 0.005
MAX_SECONDS = 5.0
MAX_MEMORY = 256 << 20

_COMMANDS: dict[str, type[msgspec.Struct]] = {
    kind.__name__: kind for kind in (Hello, *get_args(Command))
}
_SLOW = ("StartModule", "RestartModule", "CheckLlm", "ReadSchema")
_USUAL = [name for name in _COMMANDS if name not in _SLOW]


# ---------------------------------------------------------------------------------------- inputs


def make(random: Random) -> bytes:
    """Return what one client sends, its greeting included."""
    kind = random.random()
    greeting = frame(codec.encode(Hello(codec.VERSION, "fuzz")))
    stream = frame(_command(random))
    if random.random() < 0.1:
        stream += frame(_command(random)) * random.choice([1, 3])
    if kind < 0.6:
        made = ClientStream(cut_up(random, stream), True)
    elif kind < 0.85:
        made = damaged(random, stream)
    else:
        made = ClientStream([_odd_frame(random)], False)
    if random.random() < 0.9:
        made = ClientStream([greeting, *made.parts], made.is_whole)
    return made.encode()


def _command(random: Random) -> bytes:
    name = random.choice(_SLOW if random.random() < 0.02 else _USUAL)
    fields = {"type": name, **_usual_fields(random, name)}
    for _ in range(random.choice([0, 0, 1, 1, 2])):
        odd = random.choice([*fields, odd_values.encodable(random, 64)])
        fields[odd] = _odd_field(random)
    for _ in range(random.choice([0, 0, 0, 1])):
        fields.pop(random.choice(list(fields)), None)
    if random.random() < 0.02:
        return msgspec.msgpack.encode(_odd_field(random))
    return msgspec.msgpack.encode(fields)


def _usual_fields(random: Random, name: str) -> dict[str, Any]:
    if name == "StartRun":
        child = random.choice(["quick", "crashes", "naps", "megabyte"])
        command = start_command(child, timestamp=1.8e9, token=random.choice([None, "t"]))
        fields: dict[str, Any] = msgspec.to_builtins(command, builtin_types=(bytes,))
        return fields
    known = {field.name: _usual(random, field.name) for field in msgspec.structs.fields(
        _COMMANDS[name])}  # fmt: skip
    return {name: value for name, value in known.items() if value is not msgspec.UNSET}


def _usual(random: Random, name: str) -> Any:
    usual: dict[str, list[Any]] = {
        "id": [1, 2, 3, 0, 1 << 40],
        "wait": [0.0, 0.01, 0.1, -1.0],
        "grace": [0.0, 0.01],
        "with_outputs": [True, False],
        "field": ["stdout", "stderr", "genvm_log", "result"],
        "offset": [0, 1, 1 << 40],
        "max_len": [0, 100, 1 << 40],
        "kind": ["llm", "web"],
        "config": [b"{}", b"", b'{"backends": {}}', None],
        "known": [0, 1],
        "total": [1, 2, 8],
        "timestamp": [0.0, 1.8e9],
        "level": ["info", "debug", "error"],
        "key": ["A", "B"],
        "value": ["x", ""],
        "version": [codec.VERSION],
        "client": ["fuzz"],
        "major": [0, 1],
        "code": [b"", b"# {}"],
        "configs": [[]],
        "prompts": [[]],
    }
    return random.choice(usual[name]) if name in usual else msgspec.UNSET


def _odd_field(random: Random) -> Any:
    match random.randrange(8):
        case 0:
            return random.choice([None, True, False, [], {}])
        case 1 | 2:
            return random.choice(
                [number for number in odd_values.NUMBERS if -(1 << 63) <= number < 1 << 64]
            )
        case 3:
            return random.choice([float("nan"), float("inf"), -1e308, 1e308, 5e-324, -0.5])
        case 4 | 5:
            return odd_values.encodable(random)
        case 6:
            return odd_values.some_bytes(random)
        case _:
            return [_odd_field(random) for _ in range(random.randrange(4))]


def _odd_frame(random: Random) -> bytes:
    body = random.choice([
        b"", b"\xc1", b"\x80", b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff", b"\xd9\xff", b"\x81\xa4type", random.randbytes(50),
    ])  # fmt: skip
    size = random.choice([len(body), len(body) + 1, 0, 0xFFFFFFFF, 1 << 26, (1 << 26) + 1])
    return struct.pack(">I", size) + body


# ---------------------------------------------------------------------------------------- trying


@contextmanager
def open_tester() -> Iterator[Tester]:
    """Start a supervisor, yield what tests it, and stop it."""
    with RunningSupervisor("max_queued: 20\n") as supervisor:
        yield _Tester(supervisor)


class _Tester:
    def __init__(self, supervisor: RunningSupervisor) -> None:
        self._supervisor = supervisor
        self._pid = supervisor.pid
        processes = [psutil.Process(self._pid)]
        self._use = ProcessUse(processes)
        self._grown = ProcessUse(processes)
        self._log = LogWatch(lambda: supervisor.log)
        self._connections = self._open_connections()

    def __call__(self, inputs: Sequence[bytes]) -> Iterator[Observation]:
        for number, content in enumerate(inputs):
            observation = self._try(client_stream.decode(content))
            if number == len(inputs) - 1:
                observation = observation._replace(
                    faults=(*observation.faults, *self._faults_of_supervisor())
                )
            yield observation

    def _try(self, sent: ClientStream) -> Observation:
        self._use.restart()
        outcome, faults = self._exchange(sent)
        seconds, memory = self._use.taken()
        if seconds > MAX_SECONDS:
            faults.append(f"it took {seconds:.1f} s of processor time")
        return Observation(outcome, seconds, memory, (*faults, *self._log.faults()))

    def _exchange(self, sent: ClientStream) -> tuple[str, list[str]]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ALIVE)
            connection.connect(str(self._supervisor.socket))
            with suppress(ConnectionError):
                for part in sent.parts:
                    connection.sendall(part)
                    time.sleep(PAUSE)
                if not sent.is_whole:
                    connection.shutdown(socket.SHUT_WR)
            return _judged(_replies(connection, 2 if sent.is_whole else 10))

    def _faults_of_supervisor(self) -> list[str]:
        faults = []
        try:
            client = self._supervisor.connect()
            status = client.status()
            client.close()
        except (OSError, FrameError, errors.ManagerError) as error:
            return [f"the supervisor does not answer: {type(error).__name__}: {error}"]
        if status.audit:
            faults.append(f"the audit says {status.audit}")
        welcome = client.welcome
        if not isinstance(welcome, Welcome) or welcome.pid != self._pid:
            faults.append("the supervisor is another process")
        try:
            wait_until(lambda: self._open_connections() <= self._connections, ALIVE)
        except AssertionError:
            still = self._open_connections() - self._connections
            faults.append(f"{still} connections are still open")
        if (grown := self._grown.taken()[1]) > MAX_MEMORY:
            faults.append(f"the supervisor has grown by {grown >> 20} MiB")
        return faults

    def _open_connections(self) -> int:
        """Return how many clients the supervisor has, as the kernel counts them."""
        lines = Path("/proc/net/unix").read_text().splitlines()
        path = str(self._supervisor.socket)
        return sum(line.endswith(path) and line.split()[5] == _CONNECTED for line in lines)


def _replies(connection: socket.socket, wanted: int) -> list[Reply | str]:
    """Return at most so many replies, or fewer where the connection ends or stays silent."""
    replies: list[Reply | str] = []
    while len(replies) < wanted:
        try:
            body = receive_frame(connection, timeout=REPLY, max_size=codec.MAX_REPLY)
        except TimeoutError:
            return [*replies, "silence"]
        except (FrameError, OSError):
            return [*replies, "end"]
        replies.append(codec.decode_reply(body))
    return replies


def _judged(replies: list[Reply | str]) -> tuple[str, list[str]]:
    faults = [
        f"an internal error: {reply.message}"
        for reply in replies
        if isinstance(reply, Failure) and reply.code == "internal"
    ]
    named = [_named(reply) for reply in replies if not isinstance(reply, Welcome)]
    return " ".join(named) or "nothing", faults


def _named(reply: Reply | str) -> str:
    if isinstance(reply, str):
        return reply
    if isinstance(reply, Failure):
        return f"{reply.code}: {' '.join(re.sub(r'[^ a-z]', '', reply.message).split()[:4])}"
    return type(reply).__name__


TARGET = Target("ipc", "frames on the supervisor's socket", make, open_tester, batch=50)
