"""Host calls: a valid module that makes imports at random, with arguments at every edge."""

from __future__ import annotations

import io
import json
import zipfile
from functools import partial
from random import Random
from typing import Any

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from tests.fuzz import odd_values
from tests.fuzz.catalogue import Callable, catalogue
from tests.fuzz.contract_trial import contract_tester
from tests.fuzz.target import Target
from tests.fuzz.wasm_encoder import (
    FUNCTION,
    I32,
    MEMORY,
    Parts,
    active_data,
    body,
    export,
    i32,
    i64,
    limits,
    unsigned,
)
from tests.support.calls import CONTRACT, OTHER, SENDER

SECONDS = 0.3
_PAGE = 1 << 16
_RESULT, _SIZE = 0, 16
"""Where `gl_call` puts a descriptor, and reads and writes how much they moved."""

_BUFFERS = 1 << 10
"""Descriptions of buffers for reads and writes: some fine, some overlapping, some outside."""

_DATA = 8 << 10
_NOTES = 512
"""Where what the calls returned is noted; zeros follow."""

_NOTED = b"\x20\x01" + i32(31) + b"\x6c\x6a\x21\x01"
"""Adds the number on the stack to the notes, in the second local."""

_BUFFER_KINDS = [
    (_DATA, 100), (_DATA, 0), (_DATA + 50, 100), (0, _PAGE), (_PAGE - 4, 8), (_BUFFERS, 64),
    (0xFFFFFFFF, 1), (0, 0xFFFFFFFF), (_DATA, 1), (_PAGE, 0),
]  # fmt: skip


_PATHS = [
    ".",
    "",
    "..",
    "d",
    "d/",
    "d/x",
    "d/e",
    "d/e/y",
    "d/x/",
    "d/../d/x",
    "d//x",
    "/",
    "absent",
]
_FILES = {"d/x": b"content of x", "d/e/y": bytes(3_000), "big": b"b" * 9_000}
_SETUP: list[dict[str, Any]] = [
    {"MapFile": {"file": "d/", "to": "/d/"}},
    {"MapFile": {"file": "big", "to": "/big"}},
    {"AddEnv": {"name": "A", "val": "text"}},
    {"SetArgs": ["one", "", "three"]},
    {"StartWasm": "a.wasm"},
]


def make(random: Random) -> bytes:
    """Return one module, alone or in a ZIP with files that it can open."""
    module = _Calls(random).module()
    if random.random() < 0.5:
        return module
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        runner = json.dumps({"Seq": _SETUP}).encode()
        for name, content in [("runner.json", runner), ("a.wasm", module), *_FILES.items()]:
            archive.writestr(zipfile.ZipInfo(name), content)
    return written.getvalue()


class _Calls:
    """Writes the calls of one contract, and the data that they point to."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._parts = Parts()
        self._parts.type([], [])
        for offered in catalogue():
            offered.declare(self._parts)
        self._index = {each.name: number for number, each in enumerate(catalogue())}
        self._memory = random.choice([1, 1, 2, 4, 1000])
        self._free = _DATA
        self._placed: list[tuple[int, int]] = []
        buffers = (random.choice(_BUFFER_KINDS) for _ in range(16))
        self._data = [
            active_data(
                _BUFFERS,
                b"".join(
                    at.to_bytes(4, "little") + size.to_bytes(4, "little") for at, size in buffers
                ),
            )
        ]

    def module(self) -> bytes:
        steps = [self._step() for _ in range(self._random.choice([1, 3, 10, 30]))]
        steps.append(self._told())
        if self._random.random() < 0.3:
            steps.append(self._gl_call({"Return": odd_values.calldata_value(self._random)}))
        parts = self._parts
        parts.functions = [0]
        parts.memories = [limits(self._memory, self._random.choice([None, self._memory + 1]))]
        parts.exports = [export("_start", FUNCTION, len(parts.imports))]
        if self._random.random() < 0.98:
            parts.exports.append(export("memory", MEMORY, 0))
        parts.bodies = [body([(2, I32)], b"".join(steps))]
        parts.data = self._data
        return parts.module()

    def _step(self) -> bytes:
        kind = self._random.random()
        if kind < 0.35:
            return self._gl_call(self._request())
        if kind < 0.45:
            return self._call_bytes(self._place(odd_values.calldata_bytes(self._random)))
        if kind < 0.5:
            return self._repeated(self._any_call())
        if kind < 0.55:
            return self._repeated(self._gl_call(self._request()))
        if kind < 0.6:
            return i32(self._random.choice([1, 1, 100])) + b"\x40\x00\x1a"
        return self._any_call()

    def _repeated(self, call: bytes) -> bytes:
        """Return the call many times over, or for ever."""
        times = self._random.choice([2, 3, 10, 10, 100, 1000, 1000, 100_000, 0])
        count = b"\x20\x00" + i32(1) + b"\x6a\x22\x00" + i32(times) + b"\x47\x0d\x00"
        return i32(0) + b"\x21\x00\x03\x40" + call + count + b"\x0b"

    # ------------------------------------------------------------------------- any function

    def _any_call(self) -> bytes:
        offered = self._random.choice(catalogue())
        if offered.name == "proc_exit" and self._random.random() < 0.8:
            offered = catalogue()[self._index["fd_write"]]
        arguments = self._arguments(offered)
        call = b"".join(arguments) + b"\x10" + unsigned(self._index[offered.name])
        return call + (_NOTED if offered.returns else b"")

    def _told(self) -> bytes:
        """Write what all calls returned, and what they read, to storage: a part of the result."""
        noted = i32(_NOTES) + b"\x20\x01\x36\x02\x00"
        slot, size = i32(_NOTES + 32), i32(_DATA + 200 - _NOTES)
        write = slot + i32(0) + i32(_NOTES) + size + b"\x10"
        return noted + write + unsigned(self._index["storage_write"]) + b"\x1a"

    def _arguments(self, offered: Callable) -> list[bytes]:
        given = [
            i32(self._number()) if letter == "i" else i64(odd_values.number(self._random))
            for letter in offered.params
        ]
        if self._random.random() < 0.7:
            self._make_likely(offered.name, given)
        return given

    def _make_likely(self, name: str, given: list[bytes]) -> None:
        """Put arguments that lead further than an error at once."""
        if name.startswith(("fd_", "path_")):
            given[0] = self._descriptor(name)
        if name in ("fd_read", "fd_write", "fd_pread"):
            given[1], given[2] = i32(_BUFFERS), i32(self._random.choice([1, 2, 16, 1024, 1025]))
            given[-1] = i32(_SIZE)
        if name.startswith("path_"):
            self._give_path(name, given)
        if name.startswith("storage_"):
            self._give_range(given)
        if name in ("clock_time_get", "clock_res_get"):
            given[0] = i32(self._random.choice([0, 1, 3, 4]))
        if name == "poll_oneoff":
            given[2] = i32(self._random.choice([1, 2, 1024, 1025]))
        if name == "fd_readdir":
            given[1], given[2] = i32(_DATA), i32(self._random.choice([0, 10, 100, 5000]))
            given[3] = i64(self._random.choice([0, 0, 1, 2, 5, 1 << 40]))
        if name == "fd_pread":
            given[3] = i64(self._random.choice([0, 0, 5, 70_000, 1 << 40, -1]))

    def _give_path(self, name: str, given: list[bytes]) -> None:
        path = self._random.choice([*_PATHS, odd_values.encodable(self._random)])
        at, size = self._place(path.encode()[:5000])
        where = 2 if name in ("path_open", "path_filestat_get") else 1
        given[where : where + 2] = [i32(at), i32(size)]
        if name == "path_open":
            flags = self._random.choice([0, 0, 0, 1, 2, 4, 8, 15])
            rights = self._random.choice([0, 2, 64])
            given[4:] = [i32(flags), i64(rights), i64(0), i32(0), i32(_RESULT)]

    def _give_range(self, given: list[bytes]) -> None:
        """Add a slot, the place in it, the place in memory, and the length."""
        given[0] = i32(self._place(self._random.choice([b"\0", b"\1", b"\xff"]) * 32)[0])
        given[1] = i32(self._random.choice([0, 0, 1, 31, 32, 33, 1000, 1 << 20, -32, -31]))
        given[2] = i32(self._random.choice([_DATA, _DATA + 7, 0]))
        given[3] = i32(self._random.choice([0, 1, 32, 33, 1000, 5000, _PAGE, 1 << 26]))

    def _descriptor(self, name: str) -> bytes:
        """Return one of ours, the newest one, or one that is not there."""
        if name.startswith(("path_", "fd_readdir", "fd_prestat")) and self._random.random() < 0.7:
            return i32(3)
        if self._random.random() < 0.6:
            return i32(_RESULT) + b"\x28\x02\x00"
        return i32(self._random.choice([0, 1, 2, 3, 3, 4, 5, 1024]))

    def _number(self) -> int:
        kind = self._random.random()
        if kind < 0.4:
            return self._random.randrange(_DATA, _PAGE - 64)
        if kind < 0.6 and self._placed:
            return self._random.choice(self._random.choice(self._placed))
        if kind < 0.8:
            past = self._random.choice([-64, -33, -32, -21, -8, -4, -1, 0, 1])
            return _PAGE * self._memory + past
        return odd_values.number(self._random)

    # ------------------------------------------------------------------------------ gl_call

    def _gl_call(self, request: Any) -> bytes:
        encoded = calldata.encode(request)
        if self._random.random() < 0.1:
            encoded = odd_values.mutated(self._random, encoded)
        return self._call_bytes(self._place(encoded))

    def _call_bytes(self, placed: tuple[int, int]) -> bytes:
        """Return `gl_call`, and often a read of what it gave."""
        at, size = placed
        index = unsigned(self._index["gl_call"])
        call = i32(at) + i32(size) + i32(_RESULT) + b"\x10" + index + _NOTED
        if self._random.random() < 0.5:
            read = i32(_RESULT) + b"\x28\x02\x00" + i32(_BUFFERS) + i32(1) + i32(_SIZE)
            call += read + b"\x10" + unsigned(self._index["fd_read"]) + _NOTED
        return call

    def _request(self) -> Any:
        name = self._random.choice(_REQUEST_NAMES)
        fields = {field: self._field(field) for field in _REQUESTS[name]}
        if self._random.random() < 0.2 and fields:
            odd = self._random.choice(sorted(fields))
            fields[odd] = odd_values.calldata_value(self._random)
        if self._random.random() < 0.05:
            fields[odd_values.encodable(self._random)] = odd_values.calldata_value(self._random)
        if name in ("Return", "UserError"):
            return {name: odd_values.calldata_value(self._random)}
        return {name: fields}

    def _field(self, name: str) -> Any:
        random = self._random
        match name:
            case "address":
                return random.choice([OTHER, CONTRACT, SENDER, Address(random.randbytes(20))])
            case "calldata":
                return random.choice([b"", odd_values.calldata_value(random), {}])
            case "code" | "data" | "data_leader" | "data_validator":
                return odd_values.some_bytes(random, 200)
            case "value" | "salt_nonce":
                return random.choice([0, 0, 1, 1001, odd_values.number(random)])
            case "on":
                return random.choice(["finalized", "accepted", odd_values.encodable(random)])
            case "state":
                return random.choice(["default", "latest_final", 0, 2, 9, "", None])
            case "topics":
                return [random.randbytes(32) for _ in range(random.choice([0, 1, 4, 5]))]
            case "blob":
                value = odd_values.calldata_value(random)
                return value if isinstance(value, dict) else {"value": value}
            case "allow_write_ops":
                return random.choice([True, False])
            case _:
                return odd_values.encodable(random)

    def _place(self, content: bytes) -> tuple[int, int]:
        """Put `content` into memory while there is room: where it is, and how long."""
        if self._free + len(content) > _PAGE:
            return _DATA, len(content)
        placed = self._free, len(content)
        self._data.append(active_data(self._free, content))
        self._placed.append(placed)
        self._free += len(content)
        return placed


_REQUESTS: dict[str, tuple[str, ...]] = {
    "Return": (),
    "UserError": (),
    "EthSend": ("address", "calldata", "value"),
    "EthCall": ("address", "calldata"),
    "CallContract": ("address", "calldata", "state"),
    "PostMessage": ("address", "calldata", "value", "on"),
    "DeployContract": ("calldata", "code", "value", "on", "salt_nonce"),
    "EmitEvent": ("topics", "blob"),
    "RunNondet": ("data_leader", "data_validator"),
    "Sandbox": ("data", "allow_write_ops"),
    "Trace": ("Message",),
    "ExecPrompt": ("prompt",),
    "ExecPromptTemplate": ("template",),
    "WebRequest": ("url",),
    "WebRender": ("url", "mode"),
}

_SELDOM = ("Return", "UserError", "Sandbox")
"""They end the contract, or start it again inside itself."""

_REQUEST_NAMES = [name for name in _REQUESTS for _ in range(1 if name in _SELDOM else 3)]

TARGET = Target(
    "host-calls",
    "modules that call the host with arguments at every edge",
    make,
    partial(contract_tester, SECONDS),
)
