"""The error numbers of WASI preview 1, and how a call comes to return one."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from genvm_manager.workers.genvm.engine.memory import Fault


class Errno(IntEnum):
    """The error numbers of WASI preview 1 that this machine gives."""

    SUCCESS = 0
    BADF = 8
    FAULT = 21
    FBIG = 22
    INVAL = 28
    IO = 29
    ISDIR = 31
    MFILE = 33
    NAMETOOLONG = 37
    NOENT = 44
    NOTDIR = 54
    NOTSUP = 58
    ROFS = 69
    SPIPE = 70
    NOTCAPABLE = 76


class WasiError(Exception):
    """Ends a WASI call with an error number; the guest goes on."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.errno = errno


def checked(call: Callable[..., None]) -> Callable[..., int]:
    """Return `call` as a WASI function: what it raises becomes the error number it returns."""

    def answered(*arguments: int) -> int:
        try:
            call(*arguments)
        except WasiError as error:
            return error.errno
        except Fault:
            return Errno.FAULT
        return Errno.SUCCESS

    return answered


def refuse(errno: Errno) -> Callable[..., int]:
    """Return a WASI function that does nothing and returns `errno`."""
    return lambda *_: errno
