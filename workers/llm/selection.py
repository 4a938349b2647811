"""Which model is asked, and which one next: pure rules (docs/spec/05-modules.md#llm-requests)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from genvm_manager.protocol.module_frames import FatalFault

from .config import Backend, Model, priority

MAX_TIMEOUT = 10.0
"""Seconds. A provider that asks for a longer pause is not waited for."""

WANTS_AN_OPERATOR = frozenset([401, 402, 403, 404])
"""Statuses that no later try makes better: a key, an account or a model's name is wrong."""


class Wanted(NamedTuple):
    """The backends that a node names for a run; None: it names none."""

    first: str | None = None
    fallback: str | None = None


class Candidate(NamedTuple):
    """A model that may be asked. `name` is its backend's."""

    name: str
    backend: Backend
    model_name: str
    model: Model


class PromptAttempt(NamedTuple):
    """A try that failed. `status` is the provider's HTTP status, or a word of ours."""

    backend: str
    model: str | None
    status: int | str
    retry_after: float | None = None
    """Seconds that the provider asks to wait."""


def wanted_backends(host_data: Mapping[str, Any]) -> Wanted:
    """`studio_llm_id` and `fallback_llm_id`. Raises `FatalFault` for one that is no text."""
    names = [host_data.get(key) for key in ("studio_llm_id", "fallback_llm_id")]
    for key, name in zip(("studio_llm_id", "fallback_llm_id"), names, strict=True):
        if name is not None and not isinstance(name, str):
            raise FatalFault(f"hello: host_data.{key}: expected str, got {type(name).__name__}")
    return Wanted(*(name or None for name in names))


def candidates(
    backends: Mapping[str, Backend], wanted: Wanted, *, needs_json: bool, needs_image: bool
) -> list[Candidate]:
    """All models that can do it, in the order in which they are asked.

    Backends by falling `meta.priority`, then name; in each, models likewise. Where the node names
    backends, those alone, in its order.
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
    """Those of the backends that the node names which cannot be asked, and why."""
    able = {candidate.name for candidate in found}
    return [
        PromptAttempt(name, None, "NO_FITTING_MODEL" if name in backends else "NOT_CONFIGURED")
        for name in _named(wanted)
        if name not in able
    ]


def retry_candidate(attempts: Sequence[PromptAttempt], seconds_left: float) -> int | None:
    """Once all have failed: which attempt is worth a repetition after the pause it asks for.

    The one with the shortest pause, if that is short and there is time for it.
    """
    pauses = [
        (attempt.retry_after, index)
        for index, attempt in enumerate(attempts)
        if attempt.retry_after is not None
        and attempt.retry_after <= MAX_TIMEOUT
        and attempt.retry_after < seconds_left
    ]
    return min(pauses)[1] if pauses else None


def failure_context(attempts: Sequence[PromptAttempt]) -> dict[str, Any]:
    """What a contract is told when nobody answered; `status` is the last one of a provider."""
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
