"""Which model gets a prompt, and which one next: pure rules.

Source: docs/spec/05-modules.md#llm-requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from genvm_manager.protocol.module_frames import FatalFault

from .config import Backend, Model, priority

MAX_PAUSE = 10.0
"""Seconds; a provider that asks for a longer pause is not tried again."""

NEEDS_OPERATOR = frozenset([401, 402, 403, 404])
"""Statuses that no retry helps against: a key, an account or a model's name is wrong."""


class Wanted(NamedTuple):
    """The backends that a node names for a run, or None."""

    first: str | None = None
    fallback: str | None = None


class Candidate(NamedTuple):
    """A model that may get the prompt. `name` is its backend's."""

    name: str
    backend: Backend
    model_name: str
    model: Model


class PromptAttempt(NamedTuple):
    """A failed attempt. `status` is the provider's HTTP status, or a code such as `TIMEOUT`."""

    backend: str
    model: str | None
    status: int | str
    retry_after: float | None = None
    """Seconds that the provider asks to wait for."""


def wanted_backends(host_data: Mapping[str, Any]) -> Wanted:
    """Return `studio_llm_id` and `fallback_llm_id`. Raises `FatalFault` if one is not a string."""
    names = [host_data.get(key) for key in ("studio_llm_id", "fallback_llm_id")]
    for key, name in zip(("studio_llm_id", "fallback_llm_id"), names, strict=True):
        if name is not None and not isinstance(name, str):
            raise FatalFault(f"hello: host_data.{key}: expected str, got {type(name).__name__}")
    return Wanted(*(name or None for name in names))


def candidates(
    backends: Mapping[str, Backend], wanted: Wanted, *, needs_json: bool, needs_image: bool
) -> list[Candidate]:
    """Return all models that can answer, in the order in which they are tried.

    Backends are sorted by descending `meta.priority`, then by name, and so are the models of each.
    If the node names backends, only those are returned, in its order.
    """
    return [
        Candidate(name, backends[name], model_name, model)
        for name in _order(backends, wanted)
        for model_name, model in sorted(backends[name].models.items(), key=_rank)
        if (model.supports_json or not needs_json) and (model.supports_image or not needs_image)
    ]


def unavailable(
    backends: Mapping[str, Backend], wanted: Wanted, found: Iterable[Candidate]
) -> list[PromptAttempt]:
    """Return the backends that the node names but that cannot be used, and why."""
    able = {candidate.name for candidate in found}
    return [
        PromptAttempt(name, None, "NO_FITTING_MODEL" if name in backends else "NOT_CONFIGURED")
        for name in _named(wanted)
        if name not in able
    ]


def retry_candidate(attempts: Sequence[PromptAttempt], seconds_left: float) -> int | None:
    """Return which attempt to repeat after the pause it asks for, once all have failed.

    It is the one with the shortest pause, if that is short enough and there is time for it.
    """
    pauses = [
        (attempt.retry_after, index)
        for index, attempt in enumerate(attempts)
        if attempt.retry_after is not None
        and attempt.retry_after <= MAX_PAUSE
        and attempt.retry_after < seconds_left
    ]
    return min(pauses)[1] if pauses else None


def failure_context(attempts: Sequence[PromptAttempt]) -> dict[str, Any]:
    """Return what a contract is told when no model answered; `status` is a provider's last one."""
    rows = [
        {"backend": each.backend, "model": each.model, "status": each.status} for each in attempts
    ]
    statuses = [each.status for each in attempts if isinstance(each.status, int)]
    return {"attempts": rows, **({"status": statuses[-1]} if statuses else {})}


def _order(backends: Mapping[str, Backend], wanted: Wanted) -> list[str]:
    named = _named(wanted)
    if named:
        return [name for name in named if name in backends]
    return [name for name, _ in sorted(backends.items(), key=_rank)]


def _named(wanted: Wanted) -> list[str]:
    return [name for name in dict.fromkeys(wanted) if name is not None]


def _rank(entry: tuple[str, Backend] | tuple[str, Model]) -> tuple[float, str]:
    name, ranked = entry
    return -priority(ranked.meta), name
