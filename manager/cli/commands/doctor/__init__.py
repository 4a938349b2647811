"""`genvm-manager doctor`: whether the installation is whole, and what to do where it is not."""

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
    Misuse,
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

Examine = Callable[[Installation], Iterator[CheckResult]]

CHECKS: dict[str, Examine] = {
    "versions": machine.programs,
    "clock": machine.clock,
    "disk": machine.disk,
    "limits": machine.limits,
    "settings": files.settings,
    "token": files.token,
    "state folder": files.state_folder,
    "names": old_names,
    "executors": parts.executors,
    "browser": parts.browser,
    "service": trial.service,
    "trial run": trial.trial_run,
}

_SLOW = ("browser", "trial run")

_ENDING = f"""
\b
Exit codes:
  0   all is well, warnings aside
  1   something does not work
  {EX_USAGE}  the command is at fault: an option, an argument, a file
  {INTERRUPTED} interrupted (143 by SIGTERM, 129 by SIGHUP)
"""
_COLOURS = {CheckStatus.OK: "green", CheckStatus.WARNING: "yellow", CheckStatus.FAILURE: "red"}
_WORDS = {CheckStatus.OK: "ok", CheckStatus.WARNING: "warn", CheckStatus.FAILURE: "FAIL"}
_TOPIC_WIDTH = max(map(len, CHECKS)) + 2
_INDENT = 6 + _TOPIC_WIDTH
_NARROWEST = 30


@click.command("doctor", cls=Command, epilog=_ENDING)
@click.option("--config", "config_path", type=FILE, help="Settings, as of serve.")
@click.option(
    "--root", type=FOLDER, envvar="GENVM_MANAGER_ROOT", help="Tree of executors, as of serve."
)
@click.option("--manifest-path", type=FILE, help="Which executors there are, as of serve.")
@click.option("--quick", is_flag=True, help="Start neither a browser nor a trial run.")
@service_options("The service's folder.")
def command(
    config_path: Path | None,
    root: Path | None,
    manifest_path: Path | None,
    quick: bool,
    **given: Any,
) -> None:
    """Examine the installation, and say for each failing point what to do.

    Give it the options that the service is started with, and run it as the service's user. It looks
    at versions, clock, disk, limits, settings, the token, the state folder, every executor and
    whether it is compiled, the browser, and the service if one runs. At last a contract is deployed
    and called, on that service, else on a private one for the time.

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
    except Misuse as error:
        fail(error.message, EX_USAGE, as_json)
    findings = []
    try:
        for finding in _examine(installation, quick):
            findings.append(finding)
            if not as_json:
                _show(finding)
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED, as_json)
    _conclude(findings, as_json)


def _examine(installation: Installation, quick: bool) -> Iterator[CheckResult]:
    for topic, examine in CHECKS.items():
        if quick and topic in _SLOW:
            continue
        with Progress(f"examining: {topic}"):
            try:
                found = list(examine(installation))
            except Exception as error:  # A check that fails must not hide the others.
                reason = f"it could not be examined: {type(error).__name__}: {error}"
                step = "try again" if is_exhaustion(error) else "report it"
                found = [failure(topic, reason, step)]
        yield from found


def _show(finding: CheckResult) -> None:
    word = click.style(_WORDS[finding.status].ljust(6), fg=_COLOURS[finding.status], bold=True)
    click.echo(f"{word}{finding.topic.ljust(_TOPIC_WIDTH)}{_beside(finding.says)}")
    if finding.do is not None:
        click.echo(f"{' ' * _INDENT}{dim('→')} {_beside(finding.do, 2)}")


def _beside(text: str, more: int = 0) -> str:
    """The text, on a terminal in lines that all begin where the first does."""
    text = " ".join(text.split())
    if not sys.stdout.isatty():
        return printable(text)
    indent = _INDENT + more
    width = max(_NARROWEST, shutil.get_terminal_size().columns - indent)
    lines = textwrap.wrap(printable(text), width, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(lines)


def _conclude(findings: list[CheckResult], as_json: bool) -> None:
    """Say how it is altogether, and exit with the code for it."""
    verdicts = Counter(finding.status for finding in findings)
    worst = next(each for each in reversed(CheckStatus) if verdicts[each])
    if as_json:
        click.echo(json_text({"verdict": worst, "findings": findings}))
    elif worst is CheckStatus.OK:
        click.secho("all is well", fg="green", bold=True)
    else:
        counted = (
            count(verdicts[CheckStatus.FAILURE], "failure"),
            count(verdicts[CheckStatus.WARNING], "warning"),
        )
        click.secho(", ".join(counted), fg=_COLOURS[worst], bold=True)
    if worst is CheckStatus.FAILURE:
        sys.exit(EX_FAILURE)
