"""Which executors there are, and which one a run gets.

Source: docs/spec/04-executor.md#layout-and-manifest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import yaml
from msgspec import Meta, Struct

from genvm_manager.base.errors import BadRequest, RequestFailed
from genvm_manager.base.old_names import renamed_program
from genvm_manager.base.text.timestamps import parse_rfc3339, to_rfc3339
from genvm_manager.base.text.yaml_text import load_yaml
from genvm_manager.base.validation import from_value
from genvm_manager.protocol.ipc.runs import MajorSelector, Selector

_KEY = re.compile(r"v(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-[0-9A-Za-z.-]+)?", re.ASCII)
_PLACEHOLDER = re.compile(r"\$\{(?:ENV\[(?P<variable>[^\]}]*)\]|(?P<name>[^}]*))\}")


@dataclass(frozen=True, slots=True)
class Executor:
    """One version on offer; `command` is the argv that precedes the run's own arguments."""

    version: str
    order: tuple[int, int, int]
    available_after: float
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CommandContext:
    """What a command may refer to; `root` is None for the manifest that comes with the package."""

    python: str
    root: str | None
    environment: Mapping[str, str]


class _Entry(Struct):
    available_after: str
    command: Annotated[list[str], Meta(min_length=1)] | None = None


class _Document(Struct):
    executor_versions: dict[str, _Entry]


@dataclass(frozen=True, slots=True)
class Manifest:
    """All executors on offer."""

    executors: tuple[Executor, ...]
    variables: frozenset[str] = frozenset()
    """Those that its commands name, as `${ENV[NAME]}`."""

    def choose(self, selector: Selector, timestamp: float) -> Executor:
        """Return the greatest version of a major available at `timestamp`, or the one named.

        Raises `RequestFailed` that says what was looked for.
        """
        if isinstance(selector, MajorSelector):
            found = [
                executor
                for executor in self.executors
                if executor.order[0] == selector.major and executor.available_after <= timestamp
            ]
            wanted = f"major {selector.major} at {_time_text(timestamp)}"
        else:
            found = [each for each in self.executors if each.version == selector.version]
            wanted = f"version {selector.version[:60]!r}"
        if not found:
            raise RequestFailed(f"the manifest offers no executor for {wanted}")
        return max(found, key=lambda executor: executor.order)

    def newest_major(self, timestamp: float) -> int:
        """Return the greatest major that was available at `timestamp`. Raises `RequestFailed`."""
        majors = [each.order[0] for each in self.executors if each.available_after <= timestamp]
        if not majors:
            raise RequestFailed(f"the manifest offers no executor at {_time_text(timestamp)}")
        return max(majors)


def parse_manifest(text: str, context: CommandContext) -> Manifest:
    """Return the manifest in a YAML text. Raises `RequestFailed` that names the key at fault."""
    try:
        # So that a time needs no quotes.
        value = load_yaml(text, only_texts=True)
    except yaml.YAMLError as error:
        raise RequestFailed(f"manifest: not YAML: {error}") from None
    try:
        document = from_value(value, _Document)
    except BadRequest as error:
        raise RequestFailed(f"manifest: {error.message}") from None
    executors = [
        _executor(key, entry, context) for key, entry in document.executor_versions.items()
    ]
    _check_distinct(executors)
    return Manifest(tuple(executors), _variables(document))


def _executor(key: str, entry: _Entry, context: CommandContext) -> Executor:
    matched = _KEY.fullmatch(key)
    if matched is None:
        raise RequestFailed(f"manifest: executor_versions: {key!r} is no v<x>.<y>.<z>[-suffix]")
    try:
        available_after = parse_rfc3339(entry.available_after).timestamp()
    except ValueError as error:
        raise RequestFailed(f"manifest: {key}.available_after: {error}") from None
    template = entry.command or [f"${{root}}/executor/{key}/bin/genvm"]
    order = (int(matched[1]), int(matched[2]), int(matched[3]))
    command = tuple(_filled(part, key, context) for part in template)
    if renamed := renamed_program(" ".join(command)):
        raise RequestFailed(f"manifest: {key}.command: {renamed}; change it there")
    return Executor(key, order, available_after, command)


def _filled(template: str, key: str, context: CommandContext) -> str:
    names = {"python": context.python, "root": context.root, "version": key}

    def value(placeholder: re.Match[str]) -> str:
        if placeholder["variable"] is not None:
            found = context.environment.get(placeholder["variable"])
        else:
            found = names.get(placeholder["name"])
        if found is None:
            raise RequestFailed(f"manifest: {key}.command: {placeholder[0]} has no value here")
        return found

    return _PLACEHOLDER.sub(value, template)


def _variables(document: _Document) -> frozenset[str]:
    parts = (part for entry in document.executor_versions.values() for part in entry.command or [])
    found = (
        placeholder["variable"] for part in parts for placeholder in _PLACEHOLDER.finditer(part)
    )
    return frozenset(name for name in found if name)


def _check_distinct(executors: list[Executor]) -> None:
    seen: dict[tuple[int, int, int], str] = {}
    for executor in executors:
        if executor.order in seen:
            raise RequestFailed(
                f"manifest: {seen[executor.order]} and {executor.version} are one version"
            )
        seen[executor.order] = executor.version


def _time_text(timestamp: float) -> str:
    try:
        return to_rfc3339(timestamp)
    except (ValueError, OverflowError, OSError):
        return f"{timestamp:g} s after 1970"
