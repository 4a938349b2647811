"""What all worker processes have in common, those of both modules and of checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genvm_manager.base.logging.lines import Form
from genvm_manager.base.logging.shared_level import SharedLevel
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.workers.pool import Identity, Logging


@dataclass(frozen=True, slots=True)
class WorkerDefaults:
    """What a worker is started with.

    `folder` is the state folder, shown in the worker's process title; `environment` holds the
    variables that `${ENV[NAME]}` in a configuration means.
    """

    folder: Path
    environment: Mapping[str, str]
    level: SharedLevel
    form: Form

    def identity(self, kind: ModuleKind) -> Identity:
        """Return what a worker of that module shows of itself."""
        return Identity(kind, str(self.folder))

    def logging(self, secrets: tuple[str, ...]) -> Logging:
        """Return how a worker logs that starts now; no line may show the `secrets`."""
        return Logging(self.level.current, self.form, str(self.folder), secrets)
