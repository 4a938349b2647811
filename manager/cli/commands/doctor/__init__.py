"""The command `genvm-manager doctor`, which checks the installation and advises on problems."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from genvm_manager.base.check_result import CheckResult, CheckStatus, failure
from genvm_manager.base.process.exhaustion import is_exhaustion
from genvm_manager.base.text.printable import printable
from genvm_manager.manager.cli.commands.serve import FILE, FOLDER
from genvm_manager.manager.cli.exit_codes import (
    EX_FAILURE,
    EX_USAGE,
    INTERRUPTED,
    Command,
    InvalidUsage,
    fail,
    unwind_on_signals,
)
from genvm_manager.manager.cli.options.service import ServiceOptions, service_options
from genvm_manager.manager.cli.rendering.formatting import count, dim, json_text
from genvm_manager.manager.cli.rendering.progress import Progress
from genvm_manager.manager.launcher.install_root import settings_of

from . import files, machine, parts, trial
from .installation import Installation
from .old_names import old_names

Check = Callable[[Installation], Iterator[CheckResult]]

CHECKS: dict[str, Check] = {
    "versions": machine.programs,
    "clock": machine.clock,
    "disk": machine.disk,
    "limits": machine.limits,
    "settings": files.settings,
    "token": files.token,
    "state folder": files.state_folder,
    "names": old_names,
    "executors": parts.executors,
    "embeddings": parts.embeddings,
    "browser": parts.browser,
    "service": trial.service,
    "trial run": trial.trial_run,
}

_SLOW = ("browser", "trial run")

_EXIT_CODES = f"""
\b
Exit codes:
  0   all checks passed, some perhaps with warnings
  1   a check failed
  {EX_USAGE}  wrong usage: an option, an argument or a file
  {INTERRUPTED} interrupted (143 by SIGTERM, 129 by SIGHUP)
"""
_COLOURS = {CheckStatus.OK: "green", CheckStatus.WARNING: "yellow", CheckStatus.FAILURE: "red"}
_WORDS = {CheckStatus.OK: "ok", CheckStatus.WARNING: "warn", CheckStatus.FAILURE: "FAIL"}
_TOPIC_WIDTH = max(map(len, CHECKS)) + 2
_INDENT = 6 + _TOPIC_WIDTH
_NARROWEST = 30


@click.command("doctor", cls=Command, epilog=_EXIT_CODES)
@click.option("--config", "config_path", type=FILE, help="Settings, as for serve.")
@click.option(
    "--root", type=FOLDER, envvar="GENVM_MANAGER_ROOT", help="Root with executors, as for serve."
)
@click.option("--manifest-path", type=FILE, help="The list of executors, as for serve.")
@click.option("--quick", is_flag=True, help="Skip the browser and the trial run.")
@service_options("The service's folder.")
def command(
    config_path: Path | None,
    root: Path | None,
    manifest_path: Path | None,
    quick: bool,
    **given: Any,
) -> None:
    """Check the installation, and advise on each problem.

    Give it the options that the service is started with, and run it as the service's user. It
    checks versions, clock, disk, limits, settings, the token, the state folder, every executor and
    whether it is compiled, the browser, and the service if one runs. Finally it deploys and calls a
    contract, on that service or on a temporary one.

    \b
    Examples:
      genvm-manager doctor
      sudo -u genvm genvm-manager doctor --config /etc/genvm/settings.yaml
    """
    unwind_on_signals()
    config_path = config_path or (root and settings_of(root))
    installation = Installation(ServiceOptions(**given), config_path, root, manifest_path)
    as_json = installation.options.as_json
    try:
        _ = installation.folder
    except InvalidUsage as error:
        fail(error.message, EX_USAGE, as_json)
    results = []
    try:
        for result in _check(installation, quick):
            results.append(result)
            if not as_json:
                _show(result)
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED, as_json)
    _summarise(results, as_json)


def _check(installation: Installation, quick: bool) -> Iterator[CheckResult]:
    for topic, check in CHECKS.items():
        if quick and topic in _SLOW:
            continue
        with Progress(f"checking: {topic}"):
            try:
                found = list(check(installation))
            except Exception as error:  # A check that fails must not hide the others.
                reason = f"the check failed: {type(error).__name__}: {error}"
                step = "try again" if is_exhaustion(error) else "report it"
                found = [failure(topic, reason, step)]
        yield from found


def _show(result: CheckResult) -> None:
    word = click.style(_WORDS[result.status].ljust(6), fg=_COLOURS[result.status], bold=True)
    click.echo(f"{word}{result.topic.ljust(_TOPIC_WIDTH)}{_beside(result.says)}")
    if result.do is not None:
        click.echo(f"{' ' * _INDENT}{dim('→')} {_beside(result.do, 2)}")


def _beside(text: str, more: int = 0) -> str:
    """Return the text, wrapped on a terminal into lines that are indented like the first."""
    text = " ".join(text.split())
    if not sys.stdout.isatty():
        return printable(text)
    indent = _INDENT + more
    width = max(_NARROWEST, shutil.get_terminal_size().columns - indent)
    lines = textwrap.wrap(printable(text), width, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(lines)


def _summarise(results: list[CheckResult], as_json: bool) -> None:
    """Print the summary; exit with a failure's code if there is one."""
    counts = Counter(result.status for result in results)
    worst = next(each for each in reversed(CheckStatus) if counts[each])
    if as_json:
        click.echo(json_text({"verdict": worst, "findings": results}))
    elif worst is CheckStatus.OK:
        click.secho("all checks passed", fg="green", bold=True)
    else:
        counted = (
            count(counts[CheckStatus.FAILURE], "failure"),
            count(counts[CheckStatus.WARNING], "warning"),
        )
        click.secho(", ".join(counted), fg=_COLOURS[worst], bold=True)
    if worst is CheckStatus.FAILURE:
        sys.exit(EX_FAILURE)
