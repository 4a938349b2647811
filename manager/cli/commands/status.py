"""The command `genvm-manager status`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from genvm_manager.base.text.printable import printable
from genvm_manager.manager.cli.exit_codes import EX_FAILURE, Command, exit_codes
from genvm_manager.manager.cli.options.service import ServiceOptions, service_options
from genvm_manager.manager.cli.rendering.formatting import count, dim, json_text
from genvm_manager.manager.cli.service_connection import connected
from genvm_manager.protocol.http_api import StatusReply
from genvm_manager.protocol.ipc.modules import ModuleState
from genvm_manager.protocol.ipc.runs import RunState

_EXIT_CODES = exit_codes(
    {
        0: "the service takes runs, and its audit is ok",
        1: "it answers, but takes no runs, or its audit found a problem",
    }
)
_MODULES = {ModuleState.RUNNING: "green", ModuleState.FAILED: "red"}


@click.command("status", cls=Command, epilog=_EXIT_CODES)
@service_options()
def command(**given: Any) -> None:
    """Show modules, permits and runs at a glance.

    --json prints the answer of GET /status with `url`, `ready`, and the `reason` if not ready.
    """
    options = ServiceOptions(**given)
    with connected(options) as client:
        refusal = client.refusal()
        status = client.status()
    if options.as_json:
        own = {"url": client.url, "ready": refusal is None, "reason": refusal}
        click.echo(json_text(own | msgspec.to_builtins(status)))
    else:
        click.echo("\n".join(status_lines(client.url, refusal, status)))
    if refusal is not None or status.audit != "ok":
        sys.exit(EX_FAILURE)


def status_lines(url: str, refusal: str | None, status: StatusReply) -> Iterator[str]:
    """Yield lines for people; `refusal` tells why the service takes no runs."""
    colour = "red" if refusal else "green"
    yield f"{url} {click.style(printable(refusal or 'takes runs'), fg=colour, bold=True)}"
    yield _labelled("modules", ", ".join(_modules(status)))
    permits = status.permits
    costs = f"a run takes {permits.per_sync_run}, one with modules {permits.per_nondet_run}"
    yield _labelled("permits", f"{permits.current} of {permits.max} are free; {costs}")
    yield _labelled("runs", _runs(status))
    for sentence in ["ok"] if status.audit == "ok" else status.audit:
        tone = None if sentence == "ok" else "red"
        yield _labelled("audit", click.style(printable(sentence), fg=tone))


def _labelled(label: str, text: str) -> str:
    return f"  {dim(label.ljust(9))}{text}"


def _modules(status: StatusReply) -> Iterator[str]:
    for kind, module in status.modules.items():
        shown = click.style(str(module.state), fg=_MODULES.get(module.state))
        yield f"{kind} {shown}" + (f" ({printable(module.reason)})" if module.reason else "")


def _runs(status: StatusReply) -> str:
    states = Counter(run.state for run in status.executions.values())
    kept = states.pop(RunState.FINISHED, 0) + status.executions_omitted
    under_way = [f"{states[state]} {state}" for state in RunState if states[state]]
    return f"{', '.join(under_way) or 'none under way'}; {count(kept, 'finished run')} kept"
