"""What can be changed while we run, and the limits that the commands for it need."""

from __future__ import annotations

from dataclasses import dataclass

from genvm_manager.base.logging.shared_level import SharedLevel

from .manifest_source import ManifestSource
from .rules_environment import Environment


@dataclass(frozen=True, slots=True)
class Settings:
    """Each part owns what it holds. `schema_deadline`: seconds for a run that reads a schema."""

    manifests: ManifestSource
    environment: Environment
    log_level: SharedLevel
    schema_deadline: float
