"""What every worker process is started in, whatever it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genvm_manager.base.logging.lines import Form
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.supervisor.settings.log_level import LogLevel
from genvm_manager.workers.pool import Identity, Logging


@dataclass(frozen=True, slots=True)
class WorkerDefaults:
    """`folder`, the state folder, is what workers show of whom they belong to; `environment` is
    what `${ENV[NAME]}` means."""

    folder: Path
    environment: Mapping[str, str]
    level: LogLevel
    form: Form

    def identity(self, kind: ModuleKind) -> Identity:
        return Identity(kind, str(self.folder))

    def logging(self, secrets: tuple[str, ...]) -> Logging:
        """How a worker logs that starts now; no line may show the `secrets`."""
        return Logging(self.level.current, self.form, secrets)
