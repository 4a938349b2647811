"""Prompts through the LLM module, beside asking the same provider oneself.

Both are asked by runs of one executor, which does nothing else: through the connection that it was
started with, or on a connection of its own, kept, with hardly any code between it and the socket.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.asking import EXECUTOR, Asking
from benchmarks.figures import Figure
from benchmarks.servers import Service, free_port, is_listening, peer, service, wait_until

CROWD = 8


def figures(rounds: int) -> Iterator[Figure]:
    alone = Figure("prompts, 1 client", "1/s", beside_name="direct")
    crowd = Figure(f"prompts, {CROWD} clients", "1/s", beside_name="direct")
    p50 = Figure("prompt p50, 1 client", "ms", beside_name="direct")
    added = Figure("  of which the module adds", "ms")
    busy = Figure("processor time of workers per prompt", "ms")
    with ExitStack() as stack:
        port = free_port()
        stack.enter_context(peer("provider", str(port)))
        wait_until(lambda: is_listening(port))
        ours = stack.enter_context(service(executor=EXECUTOR))
        asking = Asking(ours)
        _start_modules(asking, port)
        for _ in range(rounds):
            direct, through = asking.load("prompt", 1, port=port), asking.load("prompt", 1)
            alone.beside.append(direct.rate)
            alone.rounds.append(through.rate)
            p50.beside.append(direct.percentile(50) * 1e3)
            p50.rounds.append(through.percentile(50) * 1e3)
            added.rounds.append((through.percentile(50) - direct.percentile(50)) * 1e3)
            crowd.beside.append(asking.load("prompt", CROWD, port=port).rate)
            before = _busy_seconds(ours)
            load = asking.load("prompt", CROWD)
            crowd.rounds.append(load.rate)
            busy.rounds.append((_busy_seconds(ours) - before) * 1e3 / len(load.latencies))
    yield from (alone, crowd, p50, added, busy)


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
