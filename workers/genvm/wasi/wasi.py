"""WASI preview 1: arguments, environment, clock, random bytes.

Source: docs/spec/06-contracts.md#the-machine.

Every function takes the unsigned numbers that the guest gave and returns an error number. In det
mode the clock stands still at the transaction's time and random bytes follow from a seed; a nondet
block has the machine's own. Waiting takes no time in either. Files are in `files.py`.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Callable
from itertools import accumulate, islice
from typing import NamedTuple, NoReturn

from genvm_manager.protocol.run_result import ResultCode
from genvm_manager.workers.genvm.engine.endings import CallEnded, Outcome, vm_error
from genvm_manager.workers.genvm.engine.imports import Import
from genvm_manager.workers.genvm.engine.memory import Memory

from .errors import Errno, WasiError, checked, refuse

MODULE = "wasi_snapshot_preview1"

MAX_RANDOM = 1 << 20
"""The most random bytes that one call gives; more is an error, never a long wait."""

_MAX_SUBSCRIPTIONS = 1024
_CLOCKS = 4
_REALTIME = 0
_SUBSCRIPTION = struct.Struct("<QB39x")
_EVENT = struct.Struct("<QHB21x")
_RETURNED_NULL = Outcome(ResultCode.RETURN, None)


class Environment(NamedTuple):
    """What a guest is told at its start.

    `clock` gives the nanoseconds that a clock shows, by its number; `random` so many bytes.
    """

    arguments: list[str]
    variables: dict[str, str]
    clock: Callable[[int], int]
    random: Callable[[int], bytes]


def fixed_clock(nanoseconds: int) -> Callable[[int], int]:
    """Return a clock function for which every clock shows this moment for ever."""
    return lambda _: nanoseconds


def seeded_random(seed: bytes) -> Callable[[int], bytes]:
    """Return a source of random bytes that follow from `seed`, different ones at each call."""
    calls = 0

    def random(size: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.shake_256(seed + calls.to_bytes(8, "little")).digest(size)

    return random


def machine_clock(clock: int) -> int:
    """Return the time of this machine, for nondet blocks."""
    return time.time_ns() if clock == _REALTIME else time.monotonic_ns()


machine_random = os.urandom
"""The random bytes of this machine, for nondet blocks."""


class _Strings:
    """Arguments or variables, as a guest gets them: CPython asks at each use of a descriptor."""

    def __init__(self, texts: list[str]) -> None:
        encoded = [text.encode() + b"\0" for text in texts]
        self.content = b"".join(encoded)
        self.starts = list(islice(accumulate(map(len, encoded), initial=0), len(encoded)))
        self._packed = struct.Struct(f"<{len(encoded)}I")

    def pointers(self, at: int) -> bytes:
        """Return where each one starts if `content`, which fits in the memory, lies at `at`."""
        return self._packed.pack(*[at + start for start in self.starts])


class Wasi:
    """The calls that have nothing to do with files."""

    def __init__(self, memory: Memory, environment: Environment) -> None:
        self._memory = memory
        variables = sorted(environment.variables.items())
        self._arguments = _Strings(environment.arguments)
        self._variables = _Strings([f"{name}={text}" for name, text in variables])
        self._clock = environment.clock
        self._random = environment.random

    def imports(self) -> dict[str, Import]:
        """Return the functions by name."""
        return {
            "args_get": Import(checked(self._args_get), "ii"),
            "args_sizes_get": Import(checked(self._args_sizes_get), "ii"),
            "environ_get": Import(checked(self._environ_get), "ii"),
            "environ_sizes_get": Import(checked(self._environ_sizes_get), "ii"),
            "clock_res_get": Import(checked(self._clock_res_get), "ii"),
            "clock_time_get": Import(checked(self._clock_time_get), "iIi"),
            "poll_oneoff": Import(checked(self._poll_oneoff), "iiii"),
            "proc_exit": Import(self._proc_exit, "i", returns=False),
            "proc_raise": Import(refuse(Errno.NOTSUP), "i"),
            "random_get": Import(checked(self._random_get), "ii"),
            "sched_yield": Import(refuse(Errno.SUCCESS), ""),
            "sock_accept": Import(refuse(Errno.NOTSUP), "iii"),
            "sock_recv": Import(refuse(Errno.NOTSUP), "iiiiii"),
            "sock_send": Import(refuse(Errno.NOTSUP), "iiiii"),
            "sock_shutdown": Import(refuse(Errno.NOTSUP), "ii"),
        }

    def _args_get(self, pointers: int, at: int) -> None:
        self._put_strings(self._arguments, pointers, at)

    def _args_sizes_get(self, count_at: int, size_at: int) -> None:
        self._put_sizes(self._arguments, count_at, size_at)

    def _environ_get(self, pointers: int, at: int) -> None:
        self._put_strings(self._variables, pointers, at)

    def _environ_sizes_get(self, count_at: int, size_at: int) -> None:
        self._put_sizes(self._variables, count_at, size_at)

    def _put_sizes(self, strings: _Strings, count_at: int, size_at: int) -> None:
        self._memory.write_u32(count_at, len(strings.starts))
        self._memory.write_u32(size_at, len(strings.content))

    def _put_strings(self, strings: _Strings, pointers: int, at: int) -> None:
        target = self._memory.view(at, len(strings.content))
        self._memory.write(pointers, strings.pointers(at))
        target[:] = strings.content

    def _clock_res_get(self, clock: int, at: int) -> None:
        self._check_clock(clock)
        self._memory.write_u64(at, 1)

    def _clock_time_get(self, clock: int, _precision: int, at: int) -> None:
        self._check_clock(clock)
        self._memory.write_u64(at, self._clock(clock))

    def _check_clock(self, clock: int) -> None:
        if clock >= _CLOCKS:
            raise WasiError(Errno.INVAL)

    def _random_get(self, at: int, size: int) -> None:
        if size > MAX_RANDOM:
            raise WasiError(Errno.INVAL)
        self._memory.write(at, self._random(size))

    def _poll_oneoff(self, subscriptions: int, events: int, count: int, count_at: int) -> None:
        """Report that all has happened: a clock rings at once, a descriptor is ready."""
        if not 0 < count <= _MAX_SUBSCRIPTIONS:
            raise WasiError(Errno.INVAL)
        wanted = self._memory.read(subscriptions, count * _SUBSCRIPTION.size)
        happened = b"".join(
            _EVENT.pack(user, Errno.SUCCESS, kind)
            for user, kind in _SUBSCRIPTION.iter_unpack(wanted)
        )
        self._memory.write(events, happened)
        self._memory.write_u32(count_at, count)

    def _proc_exit(self, status: int) -> NoReturn:
        raise CallEnded(vm_error(f"exit_code {status}") if status else _RETURNED_NULL)
