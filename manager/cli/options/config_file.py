"""The option for a module's configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
import yaml

from genvm_manager.base.text.yaml_text import Refused, load_yaml

MAX_SIZE = 4 << 20
"""Bytes of the longest configuration that the service takes."""


class ConfigType(click.Path):
    """A file with a map in YAML or JSON, or - for stdin; the value is the map."""

    name = "file"

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, allow_dash=True, path_type=Path)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Read the file and return the map."""
        if isinstance(value, dict):
            return value
        path: Any = super().convert(value, param, ctx)
        try:
            with click.open_file(str(path), "rb") as file:
                return config_in(file.read(MAX_SIZE + 1))
        except OSError as error:
            self.fail(f"{path}: {error.strerror}", param, ctx)
        except ValueError as error:
            self.fail(f"{path}: {error}", param, ctx)


def config_in(content: bytes) -> dict[str, Any]:
    """Return the map in a YAML or JSON text. Raises `ValueError`, which never shows a value."""
    if len(content) > MAX_SIZE:
        raise ValueError(f"longer than {MAX_SIZE} bytes")
    try:
        config = load_yaml(content)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"not YAML: {error.problem}{where}") from None
    except Refused as error:
        raise ValueError(f"not YAML that is supported: {error}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {type(error).__name__}") from None
    if not isinstance(config, dict):
        raise ValueError(f"expected a map of keys, got {type(config).__name__}")
    try:
        msgspec.json.encode(config)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"cannot be sent as JSON: {error}") from None
    return config
