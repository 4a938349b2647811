"""Prompts through the LLM module, beside requests to the same provider directly.

Both are sent by runs of one executor, which does nothing else: through the module connection that
it was started with, or on a connection of its own that is kept open.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from .figures import Figure
from .module_load import EXECUTOR, Comparison, ModuleLoad
from .servers import Service, baseline, free_port, is_listening, service, wait_until


def figures(rounds: int) -> Iterator[Figure]:
    """Measure prompts and the processor time that they take."""
    busy = Figure("processor time of workers per prompt", "ms")
    with ExitStack() as stack:
        port = free_port()
        stack.enter_context(baseline("provider", str(port)))
        wait_until(lambda: is_listening(port))
        ours = stack.enter_context(service(executor=EXECUTOR))
        runs = ModuleLoad(ours)
        _start_modules(runs, port)
        comparison = Comparison(runs, "prompt", port)
        for _ in range(rounds):
            before = _busy_seconds(ours)
            asked = comparison.measure()
            busy.rounds.append((_busy_seconds(ours) - before) * 1e3 / asked)
    yield from (*comparison.figures(), busy)


def _start_modules(runs: ModuleLoad, provider: int) -> None:
    backend = {
        "host": f"http://127.0.0.1:{provider}",
        "provider": "openai-compatible",
        "key": "sk-of-nobody",
        "models": {"m": {}},
    }
    runs.start_module("llm", {"backends": {"one": backend}})
    runs.start_module("web", {"workers": 1, "webdriver_host": "http://127.0.0.1:9"})


def _busy_seconds(ours: Service) -> float:
    """Return the processor time of all LLM workers so far, in seconds."""
    return sum(sum(each.cpu_times()[:2]) for each in ours.processes("llm worker"))
