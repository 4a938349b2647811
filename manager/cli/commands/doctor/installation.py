"""What is examined: the files and folders of one installation, as its service is given them."""

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
    """`root` and `manifest_path`, if given, are used instead of those that the settings name."""

    options: ServiceOptions
    config_path: Path | None
    root: Path | None
    manifest_path: Path | None

    @property
    def folder(self) -> Path:
        return self.options.folder

    @cached_property
    def config(self) -> Config:
        """The settings; those that hold when none are given in place of unreadable ones."""
        try:
            return read_config(self.config_path)[0]
        except ServiceFailed:
            return Config()

    @property
    def token_file(self) -> Path | None:
        configured = self.config.token_file
        return self.options.token_file or (Path(configured) if configured else None)

    @property
    def tree(self) -> Path | None:
        """The root that is in force."""
        return self.root or (Path(self.config.root) if self.config.root else None)

    def module_settings(self, kind: str) -> Path | None:
        """The file with a module's settings, in the tree or beside the service's own; None: those
        of the package hold."""
        name = f"genvm-module-{kind}.yaml"
        folders = (self.tree and self.tree / "config", self.config_path and self.config_path.parent)
        places = [folder / name for folder in folders if folder]
        return next((path for path in places if path.exists()), None)
