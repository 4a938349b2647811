"""Calls to the host, and the results of other machines that it runs for this one.

`Lazy` stands for a result that was asked for and not read yet. `Return`, `UserError` and `VMError`
are the ways in which another machine ends (docs/spec/06-contracts.md#sub-vm-results).
"""

from __future__ import annotations

import atexit

from ..py.calldata import decode
from ..py.types import Lazy
from . import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class _OfDataclass:
    """An attribute of dataclasses, made when it is asked for: few do, and `dataclasses` is slow."""

    def __init__(self, field: str) -> None:
        self._field = field

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        from dataclasses import make_dataclass

        return getattr(make_dataclass("Result", [self._field]), self._name)


class _Result:
    """What a dataclass with the one field of `__match_args__` has, made by hand.

    Each Python contract would wait for the import of `dataclasses`. Subclasses that are dataclasses
    have that field first, and their own after it.
    """

    __hash__ = None

    def __eq__(self, other: object) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        name, *_ = self.__match_args__
        return getattr(self, name) == getattr(other, name)

    def __repr__(self) -> str:
        name, *_ = self.__match_args__
        return f"{type(self).__qualname__}({name}={getattr(self, name)!r})"


class UserError(_Result, Exception):
    """The contract refuses: the run ends, nothing is kept, and the caller gets the `message`.

    `message` is a `str`; with another value the run ends as by any other exception.
    """

    __module__ = "genlayer.gl.vm"
    __match_args__ = ("message",)
    __dataclass_fields__ = _OfDataclass("message")
    __dataclass_params__ = _OfDataclass("message")

    def __init__(self, message: str) -> None:
        self.message = message

    def __str__(self) -> str:
        return repr(self)

    @staticmethod
    def immediate(message: str) -> None:
        """End the run with this user error at once; nothing can catch it, only `atexit` runs."""
        end_run({"UserError": message})


class VMError(_Result):
    """A machine failed: `message` is a code such as `exit_code 1` or `OOM`."""

    __module__ = "genlayer.gl.vm"
    __match_args__ = ("message",)
    __dataclass_fields__ = _OfDataclass("message")
    __dataclass_params__ = _OfDataclass("message")

    def __init__(self, message: str) -> None:
        self.message = message


class Return(_Result):
    """A machine returned `calldata`."""

    __module__ = "genlayer.gl.vm"
    __match_args__ = ("calldata",)
    __dataclass_fields__ = _OfDataclass("calldata")
    __dataclass_params__ = _OfDataclass("calldata")

    def __init__(self, calldata: Any) -> None:
        self.calldata = calldata


def lazy_call(function: Callable[..., Lazy]) -> Any:
    """Make a function that gives a `Lazy` give its result; the original becomes its `.lazy`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs).get()

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    call.lazy = function
    return call


_REASONS = {
    "6: forbidden": (
        "views send nothing and have no nondet blocks, which talk to models and to the web only"
    ),
    "7: inbalance": "the value is more than the contract owns",
    "1: overflow": "the request is longer than 64 MiB",
}
_SHAPES = {
    "EmitEvent": "an event has at most 4 topics of 32 bytes each, and a map",
    "PostMessage": "value is 0 to 2**256-1, and on is 'finalized' or 'accepted'",
    "DeployContract": (
        "code is bytes, value and salt_nonce are 0 to 2**256-1, and on is 'finalized' or 'accepted'"
    ),
    "EthSend": "value is 0 to 2**256-1",
}
"""What a request that is malformed should have had."""
_MODULES_REASON = "models and the web are for nondet blocks only: see gl.eq_principle and gl.vm"
_FOR_MODULES = ("ExecPrompt", "ExecPromptTemplate", "WebRequest", "WebRender")


def call_host(request: dict[str, Any]) -> bytes | None:
    """Send one gl_call: a map with one key (docs/spec/06-contracts.md#imports)."""
    try:
        return host.gl_call(request)
    except SystemError as error:
        name = next(iter(request))
        refusal = str(error)
        reason = _REASONS.get(refusal, "the request cannot be served")
        if refusal == "6: forbidden" and name in _FOR_MODULES:
            reason = _MODULES_REASON
        elif refusal == "2: inval":
            reason = _SHAPES.get(name, reason)
        error.add_note(f"{name}: {reason}")
        raise


def end_run(request: dict[str, Any]) -> None:
    """Run what `atexit` was told to, then end the run with `Return` or `UserError`."""
    # The interpreter would run it when it ends by itself, which these two do not let it do.
    atexit._run_exitfuncs()
    host.gl_call(request)


def sub_vm_result(raw: bytes) -> Return | UserError | VMError:
    """Return what another machine ended with."""
    code, payload = raw[0], raw[1:]
    if code == 0:
        return Return(decode(payload))
    text = payload.decode()
    return UserError(text) if code == 1 else VMError(text)


def unpack_result(result: Return | UserError | VMError) -> Any:
    """Return the value that a machine returned, or raise its error as a `UserError`."""
    if isinstance(result, Return):
        return result.calldata
    raise result if isinstance(result, UserError) else UserError(f"vm error: {result.message}")
