"""The file with the settings, as the supervisor reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genvm_manager.base.errors import BadRequest, ManagerError
from genvm_manager.base.settings.config import Config, parse_config


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """`path` is None when the command line names no file: all settings have their defaults."""

    path: Path | None

    def read(self) -> tuple[Config, list[str]]:
        """Return the settings as the file says them now, and the names of its unknown keys.

        Raises `ManagerError` naming the file and the key at fault.
        """
        if self.path is None:
            return Config(), []
        try:
            return parse_config(self.path.read_text("utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise ManagerError(f"config: {self.path}: {error}") from None
        except BadRequest as error:
            raise ManagerError(f"config: {self.path}: {error.message}") from None
