"""What is checked: the files and folders of one installation, as given to its service."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from genvm_manager.base.settings.config import Config
from genvm_manager.manager.cli.options.service import ServiceOptions
from genvm_manager.manager.launcher.errors import ServiceFailed
from genvm_manager.manager.launcher.service_settings import read_config


@dataclass(frozen=True)
class Installation:
    """The options of `doctor`; `root` and `manifest_path` override those in the settings."""

    options: ServiceOptions
    config_path: Path | None
    root: Path | None
    manifest_path: Path | None

    @property
    def folder(self) -> Path:
        """The state folder."""
        return self.options.folder

    @cached_property
    def config(self) -> Config:
        """The settings; the defaults if there are none or they cannot be read."""
        try:
            return read_config(self.config_path)[0]
        except ServiceFailed:
            return Config()

    @property
    def token_file(self) -> Path | None:
        """The token's file, if the options or the settings name one."""
        configured = self.config.token_file
        return self.options.token_file or (Path(configured) if configured else None)

    @property
    def effective_root(self) -> Path | None:
        """The root of the options, else of the settings."""
        return self.root or (Path(self.config.root) if self.config.root else None)

    def module_settings(self, kind: str) -> Path | None:
        """Return the file with a module's settings, in the root or beside the service's settings.

        None: the module's default settings are used.
        """
        name = f"genvm-module-{kind}.yaml"
        root = self.effective_root
        folders = (root and root / "config", self.config_path and self.config_path.parent)
        places = [folder / name for folder in folders if folder]
        return next((path for path in places if path.exists()), None)
