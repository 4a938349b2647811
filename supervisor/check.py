"""`python -m genvm_manager.supervisor.check`: the memory for runs, and whether executors start.

Prints results (`base.check_result`). It needs no state folder and no running supervisor.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from genvm_manager.base.check_result import CheckResult, encode_results, failure, ok, warning
from genvm_manager.base.errors import ManagerError
from genvm_manager.base.files.cache_folder import CACHE_DIR_VARIABLE, CacheFolder
from genvm_manager.base.files.state_folder import default_state_folder
from genvm_manager.base.settings.config import Config
from genvm_manager.base.settings.executor_environment import executor_environment
from genvm_manager.supervisor.cgroups.available_memory import available_memory
from genvm_manager.supervisor.cgroups.memory_check import examine_memory
from genvm_manager.supervisor.settings.manifest_source import ManifestSource
from genvm_manager.supervisor.settings.rules_environment import Environment
from genvm_manager.supervisor.settings.rules_manifest import Executor
from genvm_manager.supervisor.settings.settings_file import SettingsFile

TOPIC = "executors"

TIMEOUT = 60.0
"""Seconds for an executor's own check."""

PRECOMPILE_TIMEOUT = 240.0

_INCOMPLETE = "missing"
"""With this word the built-in executor's check begins a line about what the first run will make."""

_UNCACHED = "uncached"
"""And with this one a line that says why nothing can be kept."""

_UNUSABLE = "unusable"
"""And with this one a line about an archive of an operator's own runner."""

_RUNNERS = "runners"
"""And with this one the line that says how many of those can be used."""


def main() -> int:
    """Print the results of all checks, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m genvm_manager.supervisor.check")
    for name in ("config", "root", "manifest-path", "state-dir", "cache-dir"):
        parser.add_argument(f"--{name}", type=Path, help="as the supervisor takes it")
    parser.add_argument("--precompile", action="store_true", help="compile what is not yet")
    given = parser.parse_args()
    results: list[CheckResult] = []
    try:
        config, _ = SettingsFile(given.config).read()
        results = [examine_memory(config, available_memory(config.cgroup))]
        folder = given.state_dir or default_state_folder(os.environ)
        prepared = executor_environment(os.environ, config, folder, given.cache_dir)
        results.append(_examined_cache(prepared.cache))
        examination = Examination(prepared.variables, given.precompile)
        results += _examined(config, given.root, given.manifest_path, examination)
    except (ManagerError, OSError) as error:
        mend = "correct it; the keys: docs/operations/configure.md"
        results.append(failure(TOPIC, str(error), mend))
    sys.stdout.buffer.write(encode_results(results))
    return 0


class Examination(NamedTuple):
    """How executors are examined: their variables, and whether they compile what is not yet."""

    variables: dict[str, str]
    precompile: bool


def _examined_cache(cache: CacheFolder) -> CheckResult:
    if cache.note is None:
        return ok("cache", f"compiled contracts are kept in {cache.path}")
    return warning(
        "cache",
        f"compiled contracts are kept in {cache.path}, since {cache.note}",
        "mend that, or name another folder by GENVM_CACHE_DIR, for the service and for doctor",
    )


def _examined(
    config: Config, root: Path | None, manifest: Path | None, examination: Examination
) -> Iterator[CheckResult]:
    """Yield a result for each executor. Raises `RequestFailed` for a bad manifest."""
    root = root or (Path(config.root) if config.root else None)
    manifest = manifest or (Path(config.manifest_path) if config.manifest_path else None)
    executors = ManifestSource(manifest, root, Environment(os.environ)).current.executors
    if not executors:
        yield failure(TOPIC, "the manifest offers none", "add one to executor_versions")
    for executor in executors:
        yield from _examine(executor, examination)


def _examine(executor: Executor, examination: Examination) -> Iterator[CheckResult]:
    """Yield how an executor is, and how the operator's own runners that it found are."""
    version, command = executor.version, [*executor.command, "check"]
    if examination.precompile:
        command.append("--precompile")
    timeout = PRECOMPILE_TIMEOUT if examination.precompile else TIMEOUT
    mend = "install it again, or take it out of the manifest"
    try:
        ended = subprocess.run(
            command,
            env=examination.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except OSError as error:
        yield failure(TOPIC, f"{version}: {executor.command[0]}: {error.strerror}", mend)
        return
    except subprocess.TimeoutExpired:
        yield failure(TOPIC, f"{version}: its check took over {timeout:.0f} s", mend)
        return
    lines = (ended.stdout + ended.stderr).decode("utf-8", "replace").split("\n")
    if ended.returncode != 0:
        said = next((line for line in reversed(lines) if line.strip()), "nothing")
        yield failure(TOPIC, f"{version}: its check ended with {ended.returncode}: {said}", mend)
        return
    yield _wholeness(version, lines, _compile(command, examination.variables))
    yield from _runners(version, lines)


def _wholeness(version: str, lines: list[str], compile_command: str) -> CheckResult:
    for line in lines:
        if line.startswith(_UNCACHED):
            reason = line.removeprefix(_UNCACHED).strip()
            return warning(TOPIC, f"{version}: each run compiles anew: {reason}", "mend that")
    if any(line.startswith(_INCOMPLETE) for line in lines):
        return warning(
            TOPIC,
            f"{version}: not all is compiled yet; the first contract will wait for it",
            f"compile it, as the service's user: {compile_command}",
        )
    return ok(TOPIC, f"{version} starts and is whole")


def _runners(version: str, lines: list[str]) -> Iterator[CheckResult]:
    for line in lines:
        if line.startswith(_UNUSABLE):
            reason = line.removeprefix(_UNUSABLE).strip()
            mend = "replace the archive, or remove it: contracts that depend on it are refused"
            yield warning("runners", f"{version}: {reason}", mend)
        elif line.startswith(_RUNNERS):
            yield ok("runners", f"{version}: {line.removeprefix(_RUNNERS).strip()}")


def _compile(command: list[str], variables: dict[str, str]) -> str:
    folder = shlex.quote(variables[CACHE_DIR_VARIABLE])
    return f"{CACHE_DIR_VARIABLE}={folder} {shlex.join(command)} --precompile"


if __name__ == "__main__":
    sys.exit(main())
