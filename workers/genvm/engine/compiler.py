"""Compiling a module in a process of its own, whose memory and processor time are bounded.

The child is a fork: it costs milliseconds, and needs nothing but what is imported already. It is
in the run's process group, and the kernel ends it with its parent.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from wasmtime import Module, WasmtimeError

from genvm_manager.protocol.contract.errors import InvalidContract

from .endings import ExecutorFault
from .engine import new_engine

_MAX_MESSAGE = 16 << 10
_DONE = b"done"
_INVALID = b"invalid "
_PR_SET_PDEATHSIG = 1
_CAUSES = {signal.SIGXCPU: "its processor time was up", signal.SIGABRT: "it was out of memory"}


class CompilerBounds(NamedTuple):
    """Bytes of memory, seconds of processor time, and threads of one compilation."""

    memory: int = 4 << 30
    seconds: int = 600
    threads: int = 2
    """The same on every machine, since memory goes by it."""


Rewrite = Callable[[bytes], bytes]
"""Returns a valid module as it is to be compiled. May raise `InvalidContract`."""


def compile_apart(wasm: bytes, bounds: CompilerBounds, rewritten: Rewrite) -> int:
    """Compile a module, and return a descriptor of a file in memory that holds it serialized.

    What `rewritten` makes of it is compiled.

    The calling process must not have compiled anything itself: its compiler's threads would be
    missing in the fork. Raises `InvalidContract` for a module that is no valid WebAssembly, and
    `ExecutorFault` when the compiler did not finish within `bounds`.
    """
    compiled = os.memfd_create("genvm-compiled", os.MFD_CLOEXEC)
    try:
        said, status = _run_child(wasm, bounds, rewritten, compiled)
        if said == _DONE:
            return compiled
        if said.startswith(_INVALID):
            reason = said.removeprefix(_INVALID).decode("utf-8", "replace")
            raise InvalidContract(f"the module is not valid: {reason}", "wasm validating")
        why = said.decode("utf-8", "replace") or _end(status)
        raise ExecutorFault(_sentence(bounds, why))
    except BaseException:
        os.close(compiled)
        raise


def _run_child(
    wasm: bytes, bounds: CompilerBounds, rewritten: Rewrite, compiled: int
) -> tuple[bytes, int]:
    """Have a child compile into `compiled`; return what it said and its wait status."""
    reader, writer = os.pipe()
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(reader)
        os.close(writer)
        raise ExecutorFault(f"no process could be started: {error.strerror}") from None
    if pid == 0:
        _compile_and_exit(
            lambda: _compiled(wasm, rewritten, compiled), bounds, parent, (compiled, writer)
        )
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read(_MAX_MESSAGE)
    try:
        return said, os.waitpid(pid, 0)[1]
    except ChildProcessError:  # SIGCHLD is ignored here.
        return said, 0


def _sentence(bounds: CompilerBounds, why: str) -> str:
    return (
        f"this host could not compile the module within {bounds.memory >> 20} MiB of memory and "
        f"{bounds.seconds} s of processor time: {why}; give it more memory, or run the call on "
        "another host"
    )


def _end(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"the compiler ended with exit code {code}"
    known = signal.Signals(-code)
    return _CAUSES.get(known, f"the compiler was ended by {known.name}")


def _compile_and_exit(
    work: Callable[[], bytes], bounds: CompilerBounds, parent: int, kept: tuple[int, int]
) -> NoReturn:
    """Compile in the child, tell the parent how it went, and exit.

    `kept`: the descriptors of the compiled module and of the way to the parent.
    """
    said = b""
    try:
        # A stop of the run is for our parent, which ends us by its own end.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # The kernel kills this child when the thread that forked it ends. It is checked afterwards
        # that this had not happened before.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            _let_go_of_all_but(*kept)
            _bound(bounds)
            # Read when the compiler's first thread is started, which is here and not before.
            os.environ["RAYON_NUM_THREADS"] = str(bounds.threads)
            said = work()
    except BaseException as error:  # Whatever it is, the parent has to know.
        said = f"{type(error).__name__}: {error}".encode("utf-8", "replace")
    finally:
        os.write(kept[1], said[:_MAX_MESSAGE])
        os._exit(0)


def _compiled(wasm: bytes, rewritten: Rewrite, target: int) -> bytes:
    """Write the compiled module to `target`; return what to tell the parent.

    The module is validated first: when compiling fails for want of memory, it may be a good one,
    and only a valid one can be rewritten.
    """
    engine = new_engine()
    try:
        Module.validate(engine, wasm)
        wasm = rewritten(wasm)
    except (WasmtimeError, InvalidContract) as error:
        return _INVALID + str(error).encode("utf-8", "replace")
    rest = memoryview(Module(engine, wasm).serialize())
    while rest:
        rest = rest[os.write(target, rest) :]
    return _DONE


def _let_go_of_all_but(*kept: int) -> None:
    """Close what the parent has open: hosts and modules would wait for the end of a connection."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in {0, 1, 2}.difference(kept):
        os.dup2(null, number)
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = max(first, descriptor + 1)
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _bound(bounds: CompilerBounds) -> None:
    with open("/proc/self/statm", "rb") as file:
        present = int(file.read().split()[5]) * resource.getpagesize()
    _lower(resource.RLIMIT_DATA, present + bounds.memory)
    _lower(resource.RLIMIT_CPU, bounds.seconds)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, hard))
