"""What can be changed while the supervisor runs."""

from __future__ import annotations

from dataclasses import dataclass

from genvm_manager.base.logging.shared_level import SharedLevel
from genvm_manager.base.settings.config import Config

from .manifest_source import ManifestSource
from .rules_environment import Environment
from .settings_file import SettingsFile


@dataclass(slots=True)
class Settings:
    """Each part owns what it holds. `config` is what is in force of the settings in `file`."""

    file: SettingsFile
    config: Config
    manifests: ManifestSource
    environment: Environment
    log_level: SharedLevel
