"""The command `check`: is this installation whole, and what still has to be compiled (spec 04)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from wasmtime import Engine

from .cpython import GuestMissing, cpython_is_compiled, read_cpython
from .engine import new_engine
from .filesystem import FileTree
from .guest_library import GuestLibrary
from .private_cache import CacheUnusable
from .python_guest import PythonGuest
from .vm import ToolFailed


def check(folder: Path, *, precompile: bool) -> int:
    """Say on stdout what is whole and what is not; 0 unless something is broken.

    With `precompile`, make what is missing, with progress on stderr.
    """
    engine = new_engine()
    try:
        read_cpython()
        print("ok       CPython 3.12 for WASI: file present, sha256 as expected")
        if precompile:
            _make_all(engine, folder)
        compiled = _report("CPython 3.12 for WASI: compiled", cpython_is_compiled(engine, folder))
        made = _report("guest library: unpacked and compiled", GuestLibrary(folder).is_made())
    except (GuestMissing, CacheUnusable, ToolFailed) as error:
        print(f"broken   {error}")
        return 1
    if not (compiled and made):
        print("what is missing is made by `check --precompile`, else by the first contract")
    return 0


def _make_all(engine: Engine, folder: Path) -> None:
    guest = PythonGuest(engine, folder)
    _timed("compiling CPython 3.12 for WASI, some seconds", guest.module)
    _timed("unpacking the guest library", lambda: guest.put_library(FileTree()))


def _timed(what: str, make: Callable[[], object]) -> None:
    print(f"{what} ... ", end="", file=sys.stderr, flush=True)
    start = time.perf_counter()
    make()
    print(f"{time.perf_counter() - start:.1f} s", file=sys.stderr)


def _report(what: str, whole: bool) -> bool:
    print(f"{'ok' if whole else 'missing':8} {what}")
    return whole
