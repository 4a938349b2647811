"""The command `check`: is this installation whole, and what still has to be compiled.

Source: docs/spec/04-executor.md.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wasmtime import Engine

from genvm_manager.base.files.cache_folder import why_unusable
from genvm_manager.workers.genvm.embeddings.model import load_kernel
from genvm_manager.workers.genvm.embeddings.weights import INSTALL, Weights, find_weights
from genvm_manager.workers.genvm.engine.compile_cache import contracts_cache
from genvm_manager.workers.genvm.engine.endings import ExecutorFault
from genvm_manager.workers.genvm.engine.engine import new_engine
from genvm_manager.workers.genvm.python.cpython import read_cpython
from genvm_manager.workers.genvm.python.python_guest import PythonGuest
from genvm_manager.workers.genvm.run.runners import archives
from genvm_manager.workers.genvm.wasi.filesystem import FileTree


def check(folder: Path, cache_bytes: int, runners: Path | None, *, precompile: bool) -> int:
    """Print what is whole and what is not; return 0, or 1 when something is broken.

    `runners`: the folder of an operator's own runners. With `precompile`, make what is missing,
    with progress on stderr, and tidy the cache up. A cache that cannot be used is no fault: each
    run compiles anew then.
    """
    engine = new_engine()
    problems: list[str] = []
    guest = PythonGuest(engine, folder, problems.append)
    try:
        read_cpython()
        print(f"cache    {folder}")
        print("ok       CPython 3.12 for WASI: file present, sha256 as expected")
        if precompile:
            contracts_cache(folder, cache_bytes, problems.append).tidy()
            _make_all(guest)
            _make_embeddings(engine, folder, problems.append)
        compiled = _report("CPython 3.12 for WASI: compiled", guest.is_compiled())
        made = _report("guest library: unpacked and compiled", guest.has_library())
        _report_embeddings(folder)
    except ExecutorFault as error:
        print(f"broken   {error}")
        return 1
    if not problems and (why := why_unusable(folder)):
        problems.append(f"nothing can be kept in {folder}: {why}")
    if runners is not None:
        _report_runners(runners)
    for problem in dict.fromkeys(problems):
        print(f"uncached {problem}")
    if not (compiled and made) and not problems:
        print("what is missing is made by `check --precompile`, else by the first contract")
    return 0


def _report_runners(folder: Path) -> None:
    """Print how many archives of runners can be used, and what is wrong with the others."""
    found = dict(archives(folder))
    for fault in filter(None, found.values()):
        print(f"unusable {fault}")
    count = sum(fault is None for fault in found.values())
    print(f"runners  {count} of your own in {folder}")


def _make_all(guest: PythonGuest) -> None:
    if not guest.is_compiled():
        with _progress("compiling CPython 3.12 for WASI, some seconds, once on this machine"):
            guest.module()
    if not guest.has_library():
        with _progress("unpacking the guest library"):
            guest.put_library(FileTree())


def _make_embeddings(engine: Engine, folder: Path, report: Callable[[str], None]) -> None:
    if find_weights() is not None:
        Weights(folder, report).load().close()
        load_kernel(engine, folder, report)


def _report_embeddings(folder: Path) -> None:
    """Print whether vectors of texts can be made; few contracts want them."""
    if find_weights() is None:
        print(f"optional all-MiniLM-L6-v2 is not installed: {INSTALL}")
    elif Weights(folder, lambda _: None).is_checked():
        print("ok       all-MiniLM-L6-v2: file present, sha256 as expected")
    else:
        print("ok       all-MiniLM-L6-v2: file present")


@contextmanager
def _progress(what: str) -> Iterator[None]:
    """Print on stderr what is done, a dot for each second, and how long it took."""
    print(f"{what} ", end="", file=sys.stderr, flush=True)
    start = time.perf_counter()
    is_done = threading.Event()
    dots = threading.Thread(target=_print_dots, args=(is_done,))
    dots.start()
    try:
        yield
    finally:
        is_done.set()
        dots.join()
    print(f" {time.perf_counter() - start:.1f} s", file=sys.stderr)


def _print_dots(is_done: threading.Event) -> None:
    while not is_done.wait(1.0):
        print(".", end="", file=sys.stderr, flush=True)


def _report(what: str, whole: bool) -> bool:
    print(f"{'ok' if whole else 'missing':8} {what}")
    return whole
