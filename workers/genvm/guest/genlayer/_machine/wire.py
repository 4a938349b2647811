"""Calls to the host, and the results of other machines that it runs for this one.

`Lazy` stands for a result that was asked for and not read yet. `Return`, `UserError` and `VMError`
are the ways in which another machine ends (docs/spec/06-contracts.md#sub-vm-results).
"""

from __future__ import annotations

import atexit

from ..py.calldata import decode
from . import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class UserError(Exception):
    """The contract refuses: the run ends, nothing is kept, and the caller gets `message`.

    `message` is a `str`, or any other value of calldata.
    """

    def __init__(self, message: Any = "") -> None:
        super().__init__(message)
        self.message = message

    @property
    def data(self) -> Any:
        """The same as `message`."""
        return self.message

    @staticmethod
    def immediate(message: Any) -> None:
        """End the run with this user error at once; nothing can catch it, only `atexit` runs."""
        end_run({"UserError": message})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UserError) and self.message == other.message

    __hash__ = Exception.__hash__

    def __repr__(self) -> str:
        return f"UserError({self.message!r})"


class NondetException(UserError):
    """A module could not do what was asked: `causes` are error codes, the most general one first.

    `ctx` maps names to values that say more. Where a contract does not catch it, the nondet block
    ends with a user error whose value is a map of both.
    """

    def __init__(self, causes: list[str], ctx: dict[str, Any]) -> None:
        super().__init__({"causes": causes, "ctx": ctx})
        self.causes = causes
        self.ctx = ctx

    def __str__(self) -> str:
        return ": ".join(self.causes)


class VMError(Exception):
    """A machine failed: `message` is a code such as `exit_code 1` or `OOM`."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VMError) and self.message == other.message

    __hash__ = Exception.__hash__


class Return:
    """A machine returned `calldata`."""

    __slots__ = ("calldata",)

    def __init__(self, calldata: Any) -> None:
        self.calldata = calldata

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Return) and self.calldata == other.calldata

    __hash__ = None

    def __repr__(self) -> str:
        return f"Return({self.calldata!r})"


class Lazy:
    """A result that is read when `get()` is first called. An error is raised at each call."""

    __slots__ = ("_error", "_look", "_value")

    def __init__(self, look: Callable[[], Any]) -> None:
        self._look: Callable[[], Any] | None = look
        self._error: Exception | None = None

    def get(self) -> Any:
        """Return the result; raises what the call raised."""
        if self._look is not None:
            look, self._look = self._look, None
            try:
                self._value = look()
            except Exception as error:
                self._error = error
        if self._error is not None:
            raise self._error
        return self._value


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
    """Send one gl_call: a map with one key (docs/spec/06-contracts.md#imports).

    Storage views and lazy values go as plain ones.
    """
    try:
        return host.gl_call(request, to_plain)
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
    host.gl_call(request, to_plain)


def sub_vm_result(raw: bytes) -> Return | UserError | VMError:
    """Return what another machine ended with."""
    code, payload = raw[0], raw[1:]
    if code == 0:
        return Return(decode(payload))
    if code == 1:
        return UserError(decode(payload))
    return VMError(payload.decode())


def module_result(raw: bytes) -> Any:
    """Return the value that a module answered. Raises `NondetException` for its error."""
    answer = decode(raw)
    if "error" in answer:
        raise NondetException(**answer["error"])
    return answer["ok"]


def unpack_result(result: Return | UserError | VMError) -> Any:
    """Return the value that a machine returned, or raise the error with which it ended."""
    if isinstance(result, Return):
        return result.calldata
    raise result


def to_plain(value: Any) -> Any:
    """Return the plain value for one that calldata does not know: a storage view, a lazy value."""
    if isinstance(value, Lazy):
        return value.get()
    kind = type(value)
    if hasattr(kind, "__storage_fields__"):
        return {name: getattr(value, name) for name in kind.__storage_fields__}
    if hasattr(kind, "keys") and hasattr(kind, "items"):
        return dict(value.items())
    if hasattr(kind, "__len__") and hasattr(kind, "__getitem__"):
        return list(value)
    raise TypeError(f"{kind.__name__} cannot be passed on: it has no calldata")
