"""`python -m supervisor.check`: the memory for runs, and the executors: whether each starts.

Prints findings (`protocol.finding`). It needs no state folder and no running supervisor.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from protocol.config import Config, parse_config
from protocol.errors import ManagerError
from protocol.finding import Finding, encode_findings, failure, ok, warning

from .core.environment import Environment
from .core.manifest import Executor
from .manifest_source import ManifestSource
from .memory_check import examine_memory
from .runtime.available_memory import available_memory
from .runtime.launcher import executor_environment

TOPIC = "executors"

PATIENCE = 60.0
"""Seconds for an executor's own check."""

_INCOMPLETE = "missing"
"""With this word the built-in executor's check begins a line about what the first run will make."""


def main() -> int:
    """Print what was found."""
    parser = argparse.ArgumentParser(prog="python -m supervisor.check")
    for name in ("config", "root", "manifest-path"):
        parser.add_argument(f"--{name}", type=Path, help="as the supervisor takes it")
    given = parser.parse_args()
    findings: list[Finding] = []
    try:
        config = parse_config(given.config.read_text("utf-8-sig"))[0] if given.config else Config()
        findings = [examine_memory(config, available_memory(config.cgroup))]
        findings += _examined(config, given.root, given.manifest_path)
    except (ManagerError, OSError, UnicodeDecodeError) as error:
        mend = "correct it; docs/OPERATIONS.md explains the keys"
        findings.append(failure(TOPIC, str(error), mend))
    sys.stdout.buffer.write(encode_findings(findings))
    return 0


def _examined(config: Config, root: Path | None, manifest: Path | None) -> Iterator[Finding]:
    """A finding for each executor. Raises `RequestFailed` for a bad manifest."""
    root = root or (Path(config.root) if config.root else None)
    manifest = manifest or (Path(config.manifest_path) if config.manifest_path else None)
    executors = ManifestSource(manifest, root, Environment(os.environ)).current.executors
    if not executors:
        yield failure(TOPIC, "the manifest offers none", "add one to executor_versions")
    environment = executor_environment(os.environ, config.executor_env)
    for executor in executors:
        yield _examine(executor, environment)


def _examine(executor: Executor, environment: dict[str, str]) -> Finding:
    version, command = executor.version, [*executor.command, "check"]
    mend = "install it again, or take it out of the manifest"
    try:
        ended = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except OSError as error:
        return failure(TOPIC, f"{version}: {executor.command[0]}: {error.strerror}", mend)
    except subprocess.TimeoutExpired:
        return failure(TOPIC, f"{version}: its check took over {PATIENCE:.0f} s", mend)
    lines = (ended.stdout + ended.stderr).decode("utf-8", "replace").split("\n")
    if ended.returncode != 0:
        said = next((line for line in reversed(lines) if line.strip()), "nothing")
        return failure(TOPIC, f"{version}: its check ended with {ended.returncode}: {said}", mend)
    if any(line.startswith(_INCOMPLETE) for line in lines):
        return warning(
            TOPIC,
            f"{version}: not all is compiled yet; the first contract will wait for it",
            f"compile it, as the service's user: {shlex.join(command)} --precompile",
        )
    return ok(TOPIC, f"{version} starts and is whole")


if __name__ == "__main__":
    sys.exit(main())
