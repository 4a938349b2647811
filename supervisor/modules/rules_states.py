"""The states of a module and the moves between them (docs/spec/01-http-api.md#modules)."""

from __future__ import annotations

from genvm_manager.protocol.ipc.modules import ModuleState

ALLOWED: dict[ModuleState, frozenset[ModuleState]] = {
    ModuleState.STOPPED: frozenset({ModuleState.STARTING}),
    ModuleState.STARTING: frozenset({ModuleState.RUNNING, ModuleState.STOPPED}),
    ModuleState.RUNNING: frozenset({ModuleState.STOPPING, ModuleState.FAILED}),
    ModuleState.STOPPING: frozenset({ModuleState.STOPPED}),
    ModuleState.FAILED: frozenset({ModuleState.STARTING, ModuleState.RUNNING, ModuleState.STOPPED}),
}
"""From failed to running: it failed while its successor was being started."""
