"""What a service serves and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.settings.config import Config, parse_config

from .errors import ServiceFailed


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What to serve and where. With a `socket` and neither host nor port, TCP is not used.

    `root`, `manifest_path` and `token_file`, if given, are used instead of those that the
    configuration names. `lasting_folder` is the state folder in which compiled code is kept where
    the usual cache cannot be written and `state_folder` is a temporary one.
    """

    state_folder: Path
    config_path: Path | None = None
    root: Path | None = None
    manifest_path: Path | None = None
    host: str | None = None
    port: int | None = None
    socket: Path | None = None
    token_file: Path | None = None
    precompile: bool = True
    lasting_folder: Path | None = None


def read_config(path: Path | None) -> tuple[Config, list[str]]:
    """Return the configuration in a file and its unknown keys. Raises `ServiceFailed`."""
    if path is None:
        return Config(), []
    try:
        return parse_config(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, BadRequest) as error:
        raise ServiceFailed(f"{path}: {error}") from None
