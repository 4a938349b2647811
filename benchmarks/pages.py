"""HTTP requests and pages through the web module, beside doing the same directly.

Requests are sent by runs of an executor that does nothing else, through the module or on a
connection of its own. Pages are rendered for such runs, beside the module's own code with a warm
browser in one process, and beside a browser that is started for each page.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from genvm_manager.base.logging.event_log import event_log
from genvm_manager.protocol.module_frames import ModuleHello, ModuleRequest
from genvm_manager.workers.web.browser.browser import find_browser
from genvm_manager.workers.web.module import open_module

from .figures import Figure, milliseconds
from .module_load import CROWD, EXECUTOR, Comparison, ModuleLoad
from .servers import Service, baseline, free_port, is_listening, service, wait_until

CONFIG = {"always_allow_hosts": ["127.0.0.1"], "workers": 2}
PAGES_ALONE = 20
COLD_STARTS = 3


def figures(rounds: int) -> Iterator[Figure]:
    """Measure requests, pages and the memory of a worker."""
    with ExitStack() as stack:
        port = free_port()
        stack.enter_context(baseline("page_server", str(port)))
        wait_until(lambda: is_listening(port))
        ours = stack.enter_context(service(executor=EXECUTOR))
        runs = ModuleLoad(ours)
        runs.start_module("llm", {"backends": {}}, allow_empty_backends=True)
        runs.start_module("web", CONFIG)
        url = f"http://127.0.0.1:{port}/"
        yield from _requests(runs, url, port, rounds)
        yield from _pages(runs, url, rounds)
        yield _memory(ours)


def _requests(runs: ModuleLoad, url: str, port: int, rounds: int) -> Iterator[Figure]:
    comparison = Comparison(runs, "request", port, url)
    for _ in range(rounds):
        comparison.measure()
    yield from comparison.figures()


def _pages(runs: ModuleLoad, url: str, rounds: int) -> Iterator[Figure]:
    alone = Figure("pages, 1 client", "1/s")
    crowd = Figure(f"pages, {CROWD} clients", "1/s")
    p50 = Figure("page p50, 1 client", "ms", beside_name="no service")
    cold = Figure("page p50, 1 client", "ms", beside_name="browser started for it")
    for _ in range(rounds):
        through = runs.load("page", 1, url)
        alone.rounds.append(through.rate)
        crowd.rounds.append(runs.load("page", CROWD, url).rate)
        p50.rounds.append(through.percentile(50) * 1e3)
        p50.beside.append(asyncio.run(_without_service(url)))
        cold.rounds.append(through.percentile(50) * 1e3)
        cold.beside.append(median(milliseconds(lambda: _cold(url)) for _ in range(COLD_STARTS)))
    yield from (alone, crowd, p50, cold)


@dataclass(frozen=True)
class _Options:
    allow_empty_backends: bool = False
    tells_of_config: bool = False
    unset_variables: Mapping[str, str] = field(default_factory=dict)


async def _without_service(url: str) -> float:
    """Return the milliseconds of a page with the module's own code in this process."""
    module = await open_module(CONFIG, _Options(), event_log("web"))
    session = await module.open_session(ModuleHello(1, {}))
    asked = {"mode": "text", "url": url, "wait_after_loaded": "0ms"}
    took = []
    for _ in range(PAGES_ALONE):
        began = time.perf_counter()
        await session.answer(ModuleRequest("Render", [asked, None]))
        took.append((time.perf_counter() - began) * 1e3)
    await session.close()
    await module.close()
    return median(took)


def _cold(url: str) -> None:
    """Render a page by the browser's own command line; without a sandbox, which root cannot use."""
    command = [find_browser(None), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", url]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert b"Of some words." in done.stdout


def _memory(ours: Service) -> Figure:
    """Measure a worker with its browser; shared memory is counted once."""
    sizes = []
    for worker in ours.processes("web worker"):
        family = [worker, *worker.children(recursive=True)]
        sizes.append(sum(each.memory_full_info().pss for each in family) / 1e6)
    return Figure("memory, a web worker and its browser", "MB", sizes)
