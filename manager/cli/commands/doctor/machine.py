"""Checks of the machine: programs, kernel, clock, disk, limits."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from genvm_manager import protocol
from genvm_manager.base.check_result import CheckResult, failure, ok, warning
from genvm_manager.base.files.cache_folder import choose_cache_folder
from genvm_manager.base.files.state_folder import temporary_files
from genvm_manager.base.files.temporary_files import NoTemporaryFolder, settle_temporary_files

from .installation import Installation

_MIB = 1 << 20
_GIB = 1 << 30

_LEAST_SPACE = 100 * _MIB
"""With less free space than this, the service is not reliable."""

_GUEST_SPACE = 256 * _MIB
"""Bytes for the compiled interpreter, with some reserve."""

_FEW_DESCRIPTORS = 4096
_FEW_PROCESSES = 2048
"""Threads count as processes: each HTTP worker may have `http_threads` of them."""

_CLOCK_UNSYNCHRONISED = 5
"""The result of adjtimex(2) for an unsynchronised clock (TIME_ERROR)."""

_TIMEX_SIZE = 512
"""Bytes for a `struct timex` of any Linux; filled with zeros it only reads."""


def programs(_: Installation) -> Iterator[CheckResult]:
    """Check Python, the libraries and the kernel."""
    topic = "versions"
    declared = [each for each in requires("genvm-manager") or () if "extra ==" not in each]
    needed = [re.split(r"[^\w.-]", each)[0] for each in declared]
    missing = [name for name in needed if not _is_installed(name)]
    if missing:
        yield failure(topic, f"not installed: {', '.join(missing)}", "install genvm-manager again")
    else:
        yield ok(
            topic,
            f"genvm-manager {protocol.__version__}, Python {platform.python_version()}, "
            f"wasmtime {version('wasmtime')}, {len(needed)} libraries",
        )
    kernel = f"{platform.system()} {platform.release()} on {platform.machine()}"
    try:
        os.close(os.pidfd_open(os.getpid()))
        os.close(os.memfd_create("doctor"))
        yield ok(topic, kernel)
    except (OSError, AttributeError) as error:
        yield failure(topic, f"{kernel}: {error}", "use Linux 5.3 or newer")


def _is_installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def clock(_: Installation) -> Iterator[CheckResult]:
    """Check that the time is plausible and kept synchronised."""
    topic = "clock"
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    advice = "set it and keep it synchronised: apt-get install systemd-timesyncd, or chrony"
    # The files of the program were written when it was installed.
    installed = Path(protocol.__file__).stat().st_mtime
    if time.time() < installed:
        yield failure(topic, f"it is {now}, before this program was installed", advice)
    elif _is_synchronised() is False:
        yield warning(topic, f"{now}, not synchronised according to the kernel", advice)
    else:
        yield ok(topic, f"{now}{', synchronised' if _is_synchronised() else ''}")


def _is_synchronised() -> bool | None:
    """Return whether the kernel's clock is synchronised; None if that cannot be read."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_SIZE))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _CLOCK_UNSYNCHRONISED


def disk(installation: Installation) -> Iterator[CheckResult]:
    """Check the space for the state, for compiled contracts and for temporary files."""
    wanted = installation.config.retained_bytes + _LEAST_SPACE
    yield _space("state folder", installation.folder, wanted)
    environment = {**os.environ, **installation.config.executor_env}
    cache = choose_cache_folder(environment, installation.folder).path
    yield _space("cache", cache, installation.config.compile_cache_bytes + _GUEST_SPACE)
    yield from _temporary_files(installation)


def _temporary_files(installation: Installation) -> Iterator[CheckResult]:
    """Check the folder for temporary files, and let `doctor` use it from here on."""
    try:
        settle_temporary_files(installation.folder)
    except NoTemporaryFolder as error:
        yield failure("disk", error.message, "mount a tmpfs at /tmp")
        return
    place = Path(tempfile.gettempdir())
    if place == temporary_files(installation.folder):
        yield ok("disk", f"temporary files go to {place}, as no other folder is writable")


def _space(what: str, folder: Path, wanted: int) -> CheckResult:
    place = next(each for each in (folder, *folder.parents) if os.path.exists(each))
    free = shutil.disk_usage(place).free
    says = f"{free / _GIB:.1f} GiB are free for the {what}, {folder}"
    advice = "free some space there, or choose another folder"
    if free < _LEAST_SPACE:
        return failure("disk", says, advice)
    if free < wanted:
        return warning("disk", f"{says}; up to {wanted / _GIB:.1f} GiB may be needed", advice)
    return ok("disk", says)


def limits(_: Installation) -> Iterator[CheckResult]:
    """Check the limits for descriptors, processes and address space."""
    topic = "limits"
    raise_it = "raise it: ulimit, /etc/security/limits.conf, or Limit… of the unit"
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    found = f"{_limit(descriptors)} descriptors, {_limit(processes)} processes"
    if _is_below(descriptors, _FEW_DESCRIPTORS) or _is_below(processes, _FEW_PROCESSES):
        needed = f"at least {_FEW_DESCRIPTORS} and {_FEW_PROCESSES} are recommended"
        yield warning(topic, f"{found}; {needed}", raise_it)
    else:
        yield ok(topic, found)
    if resource.getrlimit(resource.RLIMIT_AS)[1] != resource.RLIM_INFINITY:
        yield failure(
            topic,
            "address space is limited (ulimit -v), and WebAssembly reserves much of it",
            "set it to unlimited",
        )


def _is_below(limit: int, wanted: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < wanted


def _limit(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)
