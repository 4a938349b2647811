"""Starting an executor: its descriptors, its environment, its own session.

Source: docs/spec/04-executor.md.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from genvm_manager.base.errors import RequestFailed, Unavailable
from genvm_manager.base.process.children import open_child_pidfd
from genvm_manager.base.process.exhaustion import is_exhaustion
from genvm_manager.base.process.signals import ALL_SIGNALS
from genvm_manager.protocol.executor import ModuleDescriptors, RunArguments
from genvm_manager.protocol.ipc.modules import ModuleKind

from .rules_capture import CaptureLimits

RUN_TOKEN = "GENVM_RUN_TOKEN"  # noqa: S105 - the name of a variable
"""Name of the variable by whose value a later supervisor recognizes an executor as its own."""

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


@dataclass(frozen=True, slots=True)
class LaunchOrder:
    """One executor to start."""

    run_id: int
    command: tuple[str, ...]
    token: str
    scratch: str
    execution_data: bytes
    limits: CaptureLimits | None
    """What is kept of the output. None: stdout and stderr are dropped, the log goes to our log."""

    extra_args: list[str]
    is_sync: bool
    host: str
    permissions: str
    modules: Mapping[ModuleKind, socket.socket]
    """Connections to the modules that the run needs; the launcher closes them."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A running executor and our ends of its descriptors, which the receiver must close."""

    pid: int
    pidfd: int
    stdout: int | None
    stderr: int | None
    log: int
    result: socket.socket


class Launcher:
    """Starts executors. `environment` is what the environments of all of them have in common."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def launch(self, order: LaunchOrder) -> Launched:
        """Start an executor.

        Raise `RequestFailed`, or `Unavailable` for want of a process, memory or a descriptor;
        nothing is left open then.
        """
        with ExitStack() as ours, ExitStack() as theirs:
            try:
                launched = self._spawn(order, ours, theirs)
            except (OSError, ValueError) as error:
                if is_exhaustion(error):
                    raise Unavailable(
                        f"no executor can be started now: {_reason(error)}", 2
                    ) from None
                raise RequestFailed(
                    f"the executor did not start: {order.command[0]}: {_reason(error)}"
                ) from None
            ours.pop_all()
        return launched

    def _spawn(self, order: LaunchOrder, ours: ExitStack, theirs: ExitStack) -> Launched:
        modules = _descriptors(order.modules, theirs)
        stdin = _sealed_file(order.execution_data, theirs)
        out = _Stream(order.limits is not None, ours, theirs)
        err = _Stream(order.limits is not None, ours, theirs)
        log = _Stream(True, ours, theirs)
        result, their_result = socket.socketpair()
        ours.callback(result.close)
        theirs.callback(their_result.close)
        arguments = RunArguments(
            log_fd=log.theirs,
            extra_args=order.extra_args,
            is_sync=order.is_sync,
            host=order.host,
            result_fd=their_result.fileno(),
            permissions=order.permissions,
            modules=modules,
            genvm_id=order.run_id,
        )
        # In the child, dup2 of a descriptor onto itself makes it survive the exec.
        kept = {stdin: 0, out.theirs: 1, err.theirs: 2}
        inherited = (log.theirs, their_result.fileno(), *modules)
        kept |= {number: number for number in inherited if number is not None}
        pid = os.posix_spawnp(
            order.command[0],
            [*order.command, *arguments.argv()],
            {**self._environment, "TMPDIR": order.scratch, RUN_TOKEN: order.token},
            file_actions=[(os.POSIX_SPAWN_DUP2, source, target) for source, target in kept.items()],
            setsid=True,
            setsigmask=[],
            setsigdef=ALL_SIGNALS,
        )
        return Launched(pid, open_child_pidfd(pid), out.ours, err.ours, log.our_end(), result)


def _descriptors(
    modules: Mapping[ModuleKind, socket.socket], owner: ExitStack
) -> ModuleDescriptors:
    return ModuleDescriptors(
        **{kind: owner.enter_context(each).fileno() for kind, each in modules.items()}
    )


class _Stream:
    """A pipe from the executor; or /dev/null, which has no end of ours."""

    def __init__(self, is_kept: bool, ours: ExitStack, theirs: ExitStack) -> None:
        self.ours: int | None = None
        if is_kept:
            self.ours, self.theirs = os.pipe()
            ours.callback(os.close, self.ours)
        else:
            self.theirs = os.open(os.devnull, os.O_WRONLY)
        theirs.callback(os.close, self.theirs)

    def our_end(self) -> int:
        assert self.ours is not None
        return self.ours


def _sealed_file(content: bytes, owner: ExitStack) -> int:
    """Return a sealed file in memory that holds `content`: a stdin that need not be fed."""
    descriptor = os.memfd_create("execution-data", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    owner.callback(os.close, descriptor)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
