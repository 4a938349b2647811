"""Checks that parts of the service make themselves, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence

from genvm_manager.base.check_result import CheckResult, decode_results, failure
from genvm_manager.base.validation import NOT_DECODED

from .installation import Installation

_TIMEOUT = 300.0
"""Seconds for one part's checks; each executor has a minute of them."""


def executors(installation: Installation) -> Iterator[CheckResult]:
    """Check the memory for runs, and whether each executor exists, starts and is compiled."""
    given = {
        "config": installation.config_path,
        "root": installation.root,
        "manifest-path": installation.manifest_path,
        "state-dir": installation.folder,
    }
    arguments = [f"--{name}={path}" for name, path in given.items() if path is not None]
    yield from _check_part("executors", "genvm_manager.supervisor.check", arguments)


def browser(installation: Installation) -> Iterator[CheckResult]:
    """Check the browser, which renders pages for contracts."""
    settings = installation.module_settings("web")
    arguments = [] if settings is None else [f"--config={settings}"]
    yield from _check_part("browser", "genvm_manager.workers.web.check", arguments)


def embeddings(_: Installation) -> Iterator[CheckResult]:
    """Check whether contracts can make vectors of texts, which is optional."""
    yield from _check_part("embeddings", "genvm_manager.workers.genvm.embeddings.check", [])


def _check_part(topic: str, module: str, arguments: Sequence[str]) -> Iterator[CheckResult]:
    ended = subprocess.run(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_TIMEOUT,
        check=False,
    )
    try:
        yield from decode_results(ended.stdout)
    except NOT_DECODED:
        lines = ended.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {ended.returncode}"
        yield failure(topic, f"{module} failed: {reason}", "install genvm-manager again")
