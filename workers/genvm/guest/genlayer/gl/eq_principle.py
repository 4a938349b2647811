"""`gl.eq_principle`: ready-made ways to agree on what a nondet block found."""

from __future__ import annotations

from .._machine.wire import Lazy, lazy_call
from .nondet import exec_prompt_template
from .vm import Result, outcome, run_nondet, run_nondet_unsafe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


@lazy_call
def strict_eq(fn: Callable[[], Any]) -> Lazy[Any]:
    """Return what `fn` returns, when it returns (or raises) the very same on validators."""
    return run_nondet_unsafe.lazy(fn, lambda leaders: outcome(fn) == leaders)


@lazy_call
def prompt_comparative(fn: Callable[[], Any], principle: str) -> Lazy[Any]:
    """Return what `fn` returns, when a language model finds it equal to the validator's own result.

    `principle` says in words what counts as equal.
    """

    def validate(leaders: Result) -> bool:
        return exec_prompt_template(
            "EqComparative",
            leader_answer=_as_text(leaders.calldata),
            validator_answer=_as_text(fn()),
            principle=principle,
        )

    return run_nondet.lazy(fn, validate)


@lazy_call
def prompt_non_comparative(fn: Callable[[], Any], *, task: str, criteria: str) -> Lazy[str]:
    """Return what a language model makes of the result of `fn` by doing `task`.

    Validators do not do the task again: a model judges the leader's answer by `criteria`.
    """

    def lead() -> str:
        template = "EqNonComparativeLeader"
        return exec_prompt_template(template, task=task, criteria=criteria, input=_as_text(fn()))

    def validate(leaders: Result) -> bool:
        return exec_prompt_template(
            "EqNonComparativeValidator",
            task=task,
            criteria=criteria,
            input=_as_text(fn()),
            output=_as_text(leaders.calldata),
        )

    return run_nondet.lazy(lead, validate)


def _as_text(value: Any) -> str:
    """Return a value as a prompt can show it: text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, sort_keys=True, default=str)


eq_principle_strict_eq = strict_eq
eq_principle_prompt_comparative = prompt_comparative
eq_principle_prompt_non_comparative = prompt_non_comparative

__all__ = ("prompt_comparative", "prompt_non_comparative", "strict_eq")
