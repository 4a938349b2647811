"""`gl.vm`: other machines of this run, and how they end.

A nondet block runs in a machine of its own: the leader's function makes a result, and on every
validator its own function says whether that result is acceptable. A sandbox is a machine whose
failure does not end the run. Source: docs/spec/07-python-sdk.md#11-glvm.
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

Result = Return | VMError | UserError
"""How a machine ends."""


@lazy_call
def spawn_sandbox(fn: Callable[[], Any], *, allow_write_ops: bool = False) -> Lazy[Result]:
    """Run `fn` in a machine of its own, and return how it ended; no failure of it ends this run.

    It sees the contract's storage as it is now. With `allow_write_ops` it may write and send what
    this run may, and that is kept when it returns.
    """
    raw = call_host({"Sandbox": {"data": ship(fn), "allow_write_ops": allow_write_ops}})
    if allow_write_ops:
        from ..py.storage.host_slots import HOST

        HOST.forget_blocks()
    return Lazy(lambda: sub_vm_result(raw))


@lazy_call
def run_nondet_unsafe(
    leader_fn: Callable[[], Any], validator_fn: Callable[[Result], bool], /
) -> Lazy[Any]:
    """Run a nondet block, and return what `leader_fn` returned on the leader.

    `validator_fn` gets the leader's `Result`, which may be an error; a validator agrees if it
    returns `True`, and in no other case. The leader's user error is raised here, and its VM error
    ends the run.
    """
    request = {"data_leader": ship(leader_fn), "data_validator": ship(validator_fn)}
    raw = call_host({"RunNondet": request})
    return Lazy(lambda: unpack_result(sub_vm_result(raw)))


def _same_message(leaders: UserError | VMError, mine: UserError | VMError) -> bool:
    return leaders.message == mine.message


@lazy_call
def run_nondet(
    leader_fn: Callable[[], Any],
    validator_fn: Callable[[Result], bool],
    /,
    *,
    compare_user_errors: Callable[[UserError, UserError], bool] = _same_message,
    compare_vm_errors: Callable[[VMError, VMError], bool] = _same_message,
) -> Lazy[Any]:
    """Run a nondet block like `run_nondet_unsafe`, with `validator_fn` in a sandbox.

    Where `validator_fn` fails as the leader did, the comparison of the two errors decides, by
    default whether their messages are equal. What it returns counts only if the leader returned.
    """

    def validate(leaders: Result) -> bool:
        mine = spawn_sandbox(lambda: validator_fn(leaders))
        if type(mine) is not type(leaders):
            return False
        if isinstance(mine, Return):
            return mine.calldata
        compare = compare_user_errors if isinstance(mine, UserError) else compare_vm_errors
        return compare(leaders, mine)

    return run_nondet_unsafe.lazy(leader_fn, validate)


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
