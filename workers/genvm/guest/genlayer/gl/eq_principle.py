"""`gl.eq_principle`: ready-made ways to agree on what a nondet block found.

Source: docs/spec/07-python-sdk.md#12-gleq_principle-all-with-lazy.
"""

from __future__ import annotations

from .._machine.wire import Lazy, lazy_call
from .vm import Result, Return, run_nondet, run_nondet_unsafe, spawn_sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


@lazy_call
def strict_eq(fn: Callable[[], Any]) -> Lazy[Any]:
    """Return what `fn` returns; validators agree if it ends for them as it did for the leader.

    It ends alike if it returns equal values, as calldata has them, or fails with the same text.
    """
    return run_nondet_unsafe.lazy(fn, lambda leaders: spawn_sandbox(fn) == leaders)


@lazy_call
def prompt_comparative(fn: Callable[[], Any], principle: str) -> Lazy[Any]:
    """Return what `fn` returns, when a language model finds it equal to the validator's own result.

    `principle` says in words what counts as equal.
    """

    def validate(leaders: Result) -> bool:
        mine = fn()
        if not isinstance(leaders, Return):
            return False
        return _ask(
            "EqComparative",
            leader_answer=format(leaders.calldata),
            validator_answer=format(mine),
            principle=principle,
        )

    return run_nondet.lazy(fn, validate)


@lazy_call
def prompt_non_comparative(fn: Callable[[], str], *, task: str, criteria: str) -> Lazy[str]:
    """Return what a language model makes of the text that `fn` returns, by doing `task`.

    Validators do not do the task again: a model judges the leader's answer by `criteria`.
    """

    def lead() -> str:
        mine = fn()
        assert isinstance(mine, str), f"the input is a str, got {type(mine).__name__}"
        return _ask("EqNonComparativeLeader", task=task, input=mine, criteria=criteria)

    def validate(leaders: Result) -> bool:
        mine = fn()
        if not isinstance(leaders, Return):
            return False
        return _ask(
            "EqNonComparativeValidator",
            task=task,
            output=leaders.calldata,
            input=mine,
            criteria=criteria,
        )

    return run_nondet.lazy(lead, validate)


def _ask(template: str, **values: str) -> Any:
    """Return what a language model answers to one of the node's own prompts."""
    from .nondet import ask_module

    return ask_module({"ExecPromptTemplate": {"template": template} | values}).get()


eq_principle_strict_eq = strict_eq
eq_principle_prompt_comparative = prompt_comparative
eq_principle_prompt_non_comparative = prompt_non_comparative

__all__ = ("prompt_comparative", "prompt_non_comparative", "strict_eq")
