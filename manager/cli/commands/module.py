"""The command `genvm-manager module`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
import msgspec

from genvm_manager.base.errors import ModuleAlreadyRunning, RequestFailed
from genvm_manager.base.text.printable import printable
from genvm_manager.manager.cli.exit_codes import Command, Group, exit_codes
from genvm_manager.manager.cli.options.config_file import ConfigType
from genvm_manager.manager.cli.options.service import ServiceOptions, service_options
from genvm_manager.manager.cli.rendering.formatting import NONE, count, json_text, size, span
from genvm_manager.manager.cli.rendering.progress import Progress
from genvm_manager.manager.cli.rendering.tables import Cell, Column, Row, show_table
from genvm_manager.manager.cli.service_connection import connected
from genvm_manager.manager.client.client import HttpClient, ModuleStart
from genvm_manager.protocol.http_api import (
    ModuleReply,
    ModuleRestarted,
    ModuleStarted,
    ModuleStopped,
    StatusReply,
)
from genvm_manager.protocol.ipc.modules import ModuleKind, ModuleState

F = TypeVar("F", bound=Callable[..., Any])

_COLUMNS = (
    Column("MODULE"),
    Column("STATE"),
    Column("SINCE", "right"),
    Column("PID", "right"),
    Column("SESSIONS", "right"),
    Column("CPU", "right"),
    Column("MEMORY", "right"),
    Column("REASON", folds=True),
)
_STATES = {ModuleState.RUNNING: "green", ModuleState.FAILED: "red", ModuleState.STOPPED: "dim"}
_START_EXIT_CODES = exit_codes(
    {0: "it answers requests", 1: "it is already running, or it did not start"}
)


@click.group("module", cls=Group)
def command() -> None:
    """Start, stop and show the LLM and the web module.

    Through them, nondeterministic contracts send prompts to models and read the web. A run needs
    both, unless its request names others; runs of `genvm-manager run` and `call` use those that are
    running.
    """


def _kind(**more: Any) -> Callable[[F], F]:
    kinds = click.Choice(list(ModuleKind), case_sensitive=False)
    return click.argument("kind", metavar="llm|web", type=kinds, **more)


def _start_options(decorated: F) -> F:
    for option in (
        click.option(
            "--user-error", is_flag=True, help="Answer every request with a user error, for tests."
        ),
        click.option(
            "--allow-empty-backends",
            is_flag=True,
            help="Start even if no backend is usable.",
        ),
        click.option(
            "--config",
            type=ConfigType(),
            help="Its settings, YAML or JSON (- is stdin). They override those in "
            "config/genvm-module-KIND.yaml of the service's root, else the package's; with "
            "`backends` they replace them.",
        ),
    ):
        decorated = option(decorated)
    return decorated


@command.command("start", cls=Command, epilog=_START_EXIT_CODES)
@_kind()
@_start_options
@service_options()
def start(
    kind: ModuleKind,
    config: dict[str, Any] | None,
    allow_empty_backends: bool,
    user_error: bool,
    **given: Any,
) -> None:
    """Start a module, and wait until it answers requests.

    \b
    Examples:
      genvm-manager module start web
      genvm-manager module start llm --config models.yaml
    """
    options = ServiceOptions(**given)
    with connected(options) as client, Progress(f"starting the {kind} module"):
        _start(client, kind, ModuleStart(config, allow_empty_backends, user_error))
        status = client.status()
    _print(options, ModuleStarted(), f"{kind} runs: {_workers(status, kind)}")


@command.command("restart", cls=Command, epilog=_START_EXIT_CODES)
@_kind()
@_start_options
@service_options()
def restart(
    kind: ModuleKind,
    config: dict[str, Any] | None,
    allow_empty_backends: bool,
    user_error: bool,
    **given: Any,
) -> None:
    """Replace a module by a new one, or start it.

    If the new one does not start, the old one continues. Runs that use the old one keep it.
    """
    options = ServiceOptions(**given)
    with connected(options) as client, Progress(f"restarting the {kind} module"):
        client.restart_module(kind, ModuleStart(config, allow_empty_backends, user_error))
        status = client.status()
    _print(options, ModuleRestarted(), f"a new {kind} runs: {_workers(status, kind)}")


@command.command("stop", cls=Command, epilog=exit_codes({0: "it is stopped, now or earlier"}))
@_kind()
@service_options()
def stop(kind: ModuleKind, **given: Any) -> None:
    """Stop a module, and wait until all its processes have ended.

    Runs that use it may finish within `drain_timeout`; a second stop does not wait for them.
    """
    options = ServiceOptions(**given)
    with connected(options) as client, Progress(f"stopping the {kind} module"):
        did_run = client.stop_module(kind)
    if did_run:
        _print(options, ModuleStopped("module_stopped"), f"{kind} is stopped")
    else:
        _print(options, ModuleStopped("module_not_running"), f"{kind} was not running")


@command.command("status", cls=Command, epilog=exit_codes({0: "done"}))
@_kind(required=False)
@service_options()
def status(kind: ModuleKind | None, **given: Any) -> None:
    """Show the modules, or one of them, and the processes of each.

    --json prints `modules` of GET /status.
    """
    options = ServiceOptions(**given)
    with connected(options) as client:
        modules = client.status().modules
    shown = {each: module for each, module in modules.items() if kind in (None, each)}
    if options.as_json:
        click.echo(json_text(shown))
    else:
        show_table(_COLUMNS, (row for each in shown.items() for row in _rows(*each)))


def _start(client: HttpClient, kind: ModuleKind, how: ModuleStart) -> None:
    try:
        client.start_module(kind, how)
    except RequestFailed as error:
        if error.message != ModuleAlreadyRunning().message:
            raise
        restart = f"genvm-manager module restart {kind}"
        raise RequestFailed(f"{kind} is already running; to replace it: {restart}") from None


def _print(options: ServiceOptions, reply: msgspec.Struct, text: str) -> None:
    click.echo(json_text(reply) if options.as_json else printable(text))


def _workers(status: StatusReply, kind: ModuleKind) -> str:
    module = status.modules[kind]
    lacks = f"; {module.reason}" if module.reason else ""
    return count(len(module.workers), "worker") + lacks


def _rows(kind: ModuleKind, module: ModuleReply) -> Iterator[Row]:
    """Yield a row for each process; the first one also shows the module itself."""
    since = (datetime.now(UTC) - module.since).total_seconds()
    own: Row = (kind, Cell(module.state, _STATES.get(module.state, "yellow")), span(since))
    if not module.workers:
        yield [*own, NONE, NONE, NONE, NONE, module.reason or ""]
    for number, worker in enumerate(module.workers):
        yield [
            *(own if number == 0 else ("", "", "")),
            NONE if worker.pid is None else str(worker.pid),
            str(worker.sessions),
            span(worker.cpu_seconds),
            size(worker.rss_bytes),
            (module.reason or "") if number == 0 else "",
        ]
