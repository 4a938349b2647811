"""Which model is asked, and which one next."""

from __future__ import annotations

from typing import Any

import pytest

from genvm_manager.base.text.secret import Secret
from genvm_manager.protocol.module_frames import FatalFault
from genvm_manager.workers.llm.config import Backend, Model
from genvm_manager.workers.llm.selection import (
    PromptAttempt,
    Wanted,
    candidates,
    failure_context,
    retry_candidate,
    unavailable,
    wanted_backends,
)

TEXT = Model()
JSON = Model(supports_json=True)
ALL = Model(supports_json=True, supports_image=True)


def backend(priority: Any = 0, **models: Model) -> Backend:
    return Backend(
        host="http://127.0.0.1",
        provider="ollama",
        models=models or {"m": ALL},
        key=Secret("k"),
        meta={"priority": priority},
    )


def order(
    backends: dict[str, Backend],
    wanted: Wanted = Wanted(),  # noqa: B008 (a tuple)
    *,
    needs_json: bool = False,
    needs_image: bool = False,
) -> list[str]:
    found = candidates(backends, wanted, needs_json=needs_json, needs_image=needs_image)
    return [f"{each.name}/{each.model_name}" for each in found]


def test_by_falling_priority_then_name() -> None:
    backends = {
        "c": backend(1),
        "b": backend(1),
        "a": backend(-1),
        "d": backend(2.5),
        "e": Backend(host="http://h", provider="ollama", models={"m": ALL}),
    }
    assert order(backends) == ["d/m", "b/m", "c/m", "e/m", "a/m"]


def test_models_of_a_backend_likewise() -> None:
    models = {"y": Model(), "x": Model(), "first": Model(meta={"priority": 1})}
    assert order({"b": backend(**models)}) == ["b/first", "b/x", "b/y"]


def test_only_models_that_can_do_it() -> None:
    backends = {"b": backend(text=TEXT, json=JSON, all=ALL)}
    assert order(backends) == ["b/all", "b/json", "b/text"]
    assert order(backends, needs_json=True) == ["b/all", "b/json"]
    assert order(backends, needs_image=True) == ["b/all"]
    assert order({"b": backend(text=TEXT)}, needs_json=True) == []


def test_the_node_names_backends_and_no_other_is_asked() -> None:
    backends = {"a": backend(9), "b": backend(), "c": backend()}
    assert order(backends, Wanted("b", "c")) == ["b/m", "c/m"]
    assert order(backends, Wanted("c", "c")) == ["c/m"]
    assert order(backends, Wanted(None, "b")) == ["b/m"]
    assert order(backends, Wanted("gone", "b")) == ["b/m"]
    assert order(backends, Wanted("gone")) == []


def test_why_a_named_backend_is_not_asked() -> None:
    backends = {"a": backend(text=TEXT)}
    wanted = Wanted("a", "gone")
    found = candidates(backends, wanted, needs_json=True, needs_image=False)
    assert unavailable(backends, wanted, found) == [
        PromptAttempt("a", None, "NO_FITTING_MODEL"),
        PromptAttempt("gone", None, "NOT_CONFIGURED"),
    ]
    assert unavailable(backends, Wanted(), found) == []


def test_what_host_data_names() -> None:
    assert wanted_backends({}) == Wanted()
    assert wanted_backends({"studio_llm_id": None, "fallback_llm_id": ""}) == Wanted()
    named = {"studio_llm_id": "a", "fallback_llm_id": "b", "tx_id": "0x"}
    assert wanted_backends(named) == Wanted("a", "b")
    with pytest.raises(FatalFault, match=r"host_data\.studio_llm_id: expected str, got int"):
        wanted_backends({"studio_llm_id": 5})


@pytest.mark.parametrize(
    ("pauses", "seconds_left", "again"),
    [
        ([], 100, None),
        ([None, None], 100, None),
        ([None, 3, 2], 100, 2),
        ([0], 100, 0),
        ([60], 100, None),
        ([5], 4, None),
        ([5, 3], 4, 1),
    ],
)
def test_a_short_pause_is_granted_once_all_have_failed(
    pauses: list[float | None], seconds_left: float, again: int | None
) -> None:
    attempts = [PromptAttempt("b", "m", 429, pause) for pause in pauses]
    assert retry_candidate(attempts, seconds_left) == again


def test_what_a_contract_is_told() -> None:
    attempts = [
        PromptAttempt("a", "m", 429, 5.0),
        PromptAttempt("b", "n", 503),
        PromptAttempt("c", None, "TIMEOUT"),
    ]
    assert failure_context(attempts) == {
        "attempts": [
            {"backend": "a", "model": "m", "status": 429},
            {"backend": "b", "model": "n", "status": 503},
            {"backend": "c", "model": None, "status": "TIMEOUT"},
        ],
        "status": 503,
    }
    assert failure_context([]) == {"attempts": []}
