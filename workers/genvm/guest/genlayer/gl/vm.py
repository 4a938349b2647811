"""`gl.vm`: other machines of this run, and how they end.

A nondet block runs in a machine of its own: the leader's function makes a result, and on every
validator its own function says whether that result is acceptable.
"""

from __future__ import annotations

from .._machine.shipping import ship
from .._machine.wire import (
    Lazy,
    Return,
    UserError,
    VMError,
    call_host,
    lazy_call,
    sub_vm_result,
    unpack_result,
)
from ..py.storage.slots import forget_blocks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

Result = Return | UserError | VMError
"""How a machine ends."""


@lazy_call
def run_nondet_unsafe(
    leader_fn: Callable[[], Any], validator_fn: Callable[[Result], bool]
) -> Lazy[Any]:
    """Run a nondet block, and return the result of `leader_fn` that validators accept.

    `validator_fn` gets the leader's `Result`, which may be an error, and returns whether it is
    acceptable; when it fails, that counts as a no.
    """
    request = {
        "data_leader": ship(lambda _: leader_fn()),
        "data_validator": ship(lambda stage: validator_fn(leaders_result(stage))),
    }
    raw = call_host({"RunNondet": request})
    return Lazy(lambda: unpack_result(sub_vm_result(raw)))


@lazy_call
def run_nondet(
    leader_fn: Callable[[], Any],
    validator_fn: Callable[[Result], bool],
    *,
    compare_user_errors: Callable[[UserError, UserError], bool] = UserError.__eq__,
    compare_vm_errors: Callable[[VMError, VMError], bool] = VMError.__eq__,
) -> Lazy[Any]:
    """Like `run_nondet_unsafe`, but `validator_fn` is asked about returned values only.

    When the leader failed, a validator runs `leader_fn` itself, and accepts an error of the same
    kind that compares equal.
    """
    comparisons = {UserError: compare_user_errors, VMError: compare_vm_errors}

    def validate(leaders: Result) -> bool:
        if isinstance(leaders, Return):
            return bool(validator_fn(leaders))
        mine = outcome(leader_fn)
        same_kind = type(mine) is type(leaders)
        return same_kind and bool(comparisons[type(mine)](leaders, mine))

    return run_nondet_unsafe.lazy(leader_fn, validate)


@lazy_call
def spawn_sandbox(function: Callable[[], Any], *, allow_write_ops: bool = False) -> Lazy[Result]:
    """Run `function` in a machine of its own, so that no failure of it can end this run.

    It sees the contract's storage, and changes it only with `allow_write_ops`.
    """
    request = {"data": ship(lambda _: function()), "allow_write_ops": allow_write_ops}
    raw = call_host({"Sandbox": request})
    if allow_write_ops:
        forget_blocks()
    return Lazy(lambda: sub_vm_result(raw))


def leaders_result(stage: dict[str, Any]) -> Result:
    """Return what the leader ended with, as a validator is told."""
    return sub_vm_result(stage["leaders_result"])


def outcome(function: Callable[[], Any]) -> Result:
    """Return how a machine that ran `function` would end, found by running it here."""
    try:
        return Return(function())
    except UserError as error:
        return UserError(error.message)
    except MemoryError:
        return VMError("OOM")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        return VMError(f"exit_code {status}") if status else Return(None)
    except Exception:
        return VMError("exit_code 1")


__all__ = (
    "Result",
    "Return",
    "UserError",
    "VMError",
    "run_nondet",
    "run_nondet_unsafe",
    "spawn_sandbox",
    "unpack_result",
)
