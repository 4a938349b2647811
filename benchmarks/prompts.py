"""Prompts through the LLM module, beside asking the same provider oneself.

Both are asked by runs of one executor, which does nothing else: through the connection that it was
started with, or on a connection of its own, kept, with hardly any code between it and the socket.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from .asking import EXECUTOR, Asking, Comparison
from .figures import Figure
from .servers import Service, free_port, is_listening, peer, service, wait_until


def figures(rounds: int) -> Iterator[Figure]:
    busy = Figure("processor time of workers per prompt", "ms")
    with ExitStack() as stack:
        port = free_port()
        stack.enter_context(peer("provider", str(port)))
        wait_until(lambda: is_listening(port))
        ours = stack.enter_context(service(executor=EXECUTOR))
        asking = Asking(ours)
        _start_modules(asking, port)
        comparison = Comparison(asking, "prompt", port)
        for _ in range(rounds):
            before = _busy_seconds(ours)
            asked = comparison.measure()
            busy.rounds.append((_busy_seconds(ours) - before) * 1e3 / asked)
    yield from (*comparison.figures(), busy)


def _start_modules(asking: Asking, provider: int) -> None:
    backend = {
        "host": f"http://127.0.0.1:{provider}",
        "provider": "openai-compatible",
        "key": "sk-of-nobody",
        "models": {"m": {}},
    }
    asking.start_module("llm", {"backends": {"one": backend}})
    asking.start_module("web", {"workers": 1, "webdriver_host": "http://127.0.0.1:9"})


def _busy_seconds(ours: Service) -> float:
    """Processor time of all LLM workers so far."""
    return sum(sum(each.cpu_times()[:2]) for each in ours.processes("llm worker"))
