"""The command `genvm-manager llm`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.process.threads import started_threads
from genvm_manager.manager.cli.exit_codes import (
    EX_FAILURE,
    Command,
    Group,
    InvalidUsage,
    exit_codes,
)
from genvm_manager.manager.cli.llm_models import NamedModel, models_in
from genvm_manager.manager.cli.options.config_file import ConfigType, config_in
from genvm_manager.manager.cli.options.service import ServiceOptions, service_options
from genvm_manager.manager.cli.rendering.formatting import count, json_text
from genvm_manager.manager.cli.rendering.progress import Progress
from genvm_manager.manager.cli.rendering.tables import Cell, Column, Row, show_table
from genvm_manager.manager.cli.service_connection import connected
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.manager.launcher.install_root import module_settings
from genvm_manager.protocol.llm_check import MAX_CHECKS, CheckConfig, CheckRow, Provider

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NO_KEY = "key: the variable "
"""The beginning of the service's message that the variable of a key is not set."""

_COLUMNS = (
    Column("BACKEND"),
    Column("MODEL"),
    Column("STATE"),
    Column("ANSWER", folds=True),
)
_EXIT_CODES = exit_codes(
    {
        0: "all models with a key answer, and there is at least one",
        1: "a model with a key does not answer, or no model has a key",
    }
)


@click.group("llm", cls=Group)
def command() -> None:
    """Check the models that answer the prompts of contracts."""


@command.command("check", cls=Command, epilog=_EXIT_CODES)
@click.argument("file", required=False, type=ConfigType())
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    envvar="GENVM_MANAGER_ROOT",
    help="Without FILE: the root whose settings are checked.  [default: $GENVM_MANAGER_ROOT, else "
    "the package's own settings]",
)
@click.option(
    "--provider", type=click.Choice(get_args(Provider)), help="Check one model: its provider."
)
@click.option("--host", help="Its host, such as https://api.openai.com.")
@click.option("--model", help="Its name.")
@click.option(
    "--key-env",
    metavar="NAME",
    help="The environment variable with its key, of this command or else of the service.",
)
@click.option("--prompt", default="Say hello.", show_default=True, help="The prompt to send.")
@service_options()
def check(file: dict[str, Any] | None, root: Path | None, prompt: str, **given: Any) -> None:
    """Check whether every model of an LLM module's settings answers.

    The service sends a prompt to all of them at once, each for up to a minute; no module needs to
    run. The settings are those in FILE (YAML or JSON, - is stdin), else of --root. Disabled
    backends and models are skipped. A backend without a key is not a failure, since the module
    would skip it. Keys are never shown, and cannot be given as arguments.

    \b
    Examples:
      genvm-manager llm check
      genvm-manager llm check models.yaml --json
      genvm-manager llm check --provider ollama --host http://127.0.0.1:11434 \\
          --model llama3.1
      genvm-manager llm check --provider openai-compatible \\
          --host https://api.openai.com --model gpt-4o --key-env OPENAIKEY
    """
    one = {name: given.pop(name) for name in ("provider", "host", "model", "key_env")}
    options = ServiceOptions(**given)
    if any(one.values()) and file is not None:
        raise InvalidUsage("FILE: give either FILE, or one model by --provider, --host and --model")
    models = [_one_model(**one)] if any(one.values()) else _models_of(file, root)
    with connected(options) as client, Progress(f"checking {count(len(models), 'model')}"):
        rows = _check(client, models, prompt)
    if options.as_json:
        click.echo(json_text([_as_json(*each) for each in zip(models, rows, strict=True)]))
    else:
        show_table(_COLUMNS, (_row(*each) for each in zip(models, rows, strict=True)))
    failed = [row for row in rows if not row.available and not _lacks_key(row)]
    if failed or not any(row.available for row in rows):
        sys.exit(EX_FAILURE)


def _models_of(file: dict[str, Any] | None, root: Path | None) -> list[NamedModel]:
    """Return the models of the settings. Raises `InvalidUsage`."""
    try:
        models = models_in(_default_settings(root) if file is None else file)
    except BadRequest as error:
        raise InvalidUsage(f"settings: {error}") from None
    if not models:
        raise InvalidUsage("no model is enabled in these settings; enable one")
    return models


def _one_model(
    provider: Provider | None, host: str | None, model: str | None, key_env: str | None
) -> NamedModel:
    """Return the model that the options describe. Raises `InvalidUsage`."""
    if provider is None or host is None or model is None:
        raise InvalidUsage(
            "to check one model, give --provider, --host and --model, and for most --key-env"
        )
    return NamedModel(provider, CheckConfig(host, provider, model, _key(key_env)))


def _key(variable: str | None) -> str:
    if variable is None:
        return ""
    if not _VARIABLE.fullmatch(variable):
        raise InvalidUsage(
            "--key-env: expected the name of a variable; a key itself cannot be an argument"
        )
    return os.environ.get(variable) or f"${{ENV[{variable}]}}"


def _default_settings(root: Path | None) -> dict[str, Any]:
    default = module_settings("llm")
    in_root = root / "config" / default.name if root else None
    place = in_root if in_root and in_root.exists() else default
    try:
        return config_in(place.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidUsage(f"{place}: {error}") from None


def _check(client: HttpClient, models: list[NamedModel], prompt: str) -> list[CheckRow]:
    """Return a row for each model. Models with equal parameters share one request."""
    groups: dict[bytes, list[int]] = {}
    for index, model in enumerate(models):
        groups.setdefault(msgspec.json.encode(model.check_prompt(prompt)), []).append(index)
    with _threads(min(len(groups), MAX_CHECKS)) as for_each:
        answers = for_each(
            lambda group: client.check_llm(
                [models[index].config for index in group], [models[group[0]].check_prompt(prompt)]
            ),
            groups.values(),
        )
        rows = {
            index: row
            for group, found in zip(groups.values(), answers, strict=True)
            for index, row in zip(group, found, strict=True)
        }
    return [rows[index] for index in range(len(models))]


@contextmanager
def _threads(most: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Yield a `map` that calls in parallel, or one after the other if threads are exhausted."""
    try:
        pool = started_threads("check", most)
    except BlockingIOError:
        yield map
        return
    with pool:
        yield pool.map


def _lacks_key(row: CheckRow) -> bool:
    return row.error is not None and row.error.startswith(_NO_KEY)


def _row(model: NamedModel, row: CheckRow) -> Row:
    if row.available:
        state, answer = Cell("answers", "green"), row.response
    elif _lacks_key(row):
        state, answer = Cell("no key", "yellow"), row.error
    else:
        state, answer = Cell("fails", "red"), row.error
    return model.backend, model.config.model, state, " ".join((answer or "").split())


def _as_json(model: NamedModel, row: CheckRow) -> dict[str, Any]:
    config = model.config
    named = {"backend": model.backend, "provider": config.provider, "host": config.host}
    answer = {"available": row.available, "error": row.error, "response": row.response}
    return {**named, "model": config.model, **answer}
