"""The faults of processes. A new fault is one more line of `FAULTS`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .disturbance import Effect
from .service import Role


class Way(Enum):
    """How processes are hit.

    `KILL` is SIGKILL, `STOP` SIGTERM, `RELOAD` SIGHUP, `FREEZE` SIGSTOP for a while.
    """

    KILL = "kill"
    STOP = "stop"
    RELOAD = "reload"
    FREEZE = "freeze"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to one process of each of the `roles`, all at once.

    `weight`: how often it is drawn. `group`: the executor's process group is hit. `again`: it is
    done once more a moment later, to the processes that exist then. `needs_cgroup`: only a cgroup
    can find a daemon without a token after this fault.
    """

    name: str
    weight: int
    effects: frozenset[Effect]
    roles: tuple[Role, ...]
    way: Way = Way.KILL
    group: bool = False
    again: bool = False
    needs_cgroup: bool = False

    @property
    def is_harsh(self) -> bool:
        """Whether a supervisor ends by it."""
        return bool(self.effects & {Effect.SHUTS, Effect.LOSES})

    @property
    def is_deadly(self) -> bool:
        """Whether the processes that it hits end."""
        return self.way in (Way.KILL, Way.STOP)

    @property
    def ends_serve(self) -> bool:
        """Whether `serve` ends by it."""
        return self.is_deadly and Role.SERVE in self.roles

    def deaths(self, half: str) -> int:
        """Return how often the supervisor or HTTP dies and is started again by the same `serve`."""
        roles = {Role.MASTER} if half == "http" else {Role.SHIM, Role.SUPERVISOR}
        dies = self.is_deadly and not self.ends_serve and roles & set(self.roles)
        return (2 if self.again else 1) if dies else 0


_NONE: frozenset[Effect] = frozenset()
_BREAKS = frozenset({Effect.BREAKS})
_SHUTS = frozenset({Effect.SHUTS})
_LOSES = frozenset({Effect.LOSES})
_ALL = frozenset(Effect)
_BOTH = (Role.SHIM, Role.SUPERVISOR)

RESTART = Fault("planned restart", 3, _SHUTS | _BREAKS, (Role.SERVE,), Way.STOP)
FAULTS = (
    Fault("executor", 12, _NONE, (Role.EXECUTOR,)),
    Fault("group", 8, _NONE, (Role.EXECUTOR,), group=True),
    Fault("frozen supervisor", 3, _NONE, (Role.SUPERVISOR,), Way.FREEZE),
    Fault("reload", 2, _NONE, (Role.SERVE,), Way.RELOAD),
    Fault("reload of the master", 1, _NONE, (Role.MASTER,), Way.RELOAD),
    Fault("worker", 5, _BREAKS, (Role.WORKER,)),
    Fault("master", 3, _BREAKS, (Role.MASTER,)),
    Fault("shim", 4, _SHUTS, (Role.SHIM,)),
    Fault("supervisor", 5, _LOSES, (Role.SUPERVISOR,)),
    Fault("supervisor, again", 2, _LOSES, (Role.SUPERVISOR,), again=True),
    Fault("shim and supervisor", 4, _SHUTS | _LOSES, _BOTH),
    Fault("shim and supervisor, again", 2, _SHUTS | _LOSES, _BOTH, again=True),
    Fault("supervisor and master", 3, _LOSES | _BREAKS, (Role.SUPERVISOR, Role.MASTER)),
    Fault("planned stop of the supervisor", 3, _SHUTS, (Role.SHIM,), Way.STOP),
    RESTART,
    Fault("planned restart, in haste", 2, _SHUTS | _BREAKS, (Role.SERVE,), Way.STOP, again=True),
    Fault("serve", 3, _SHUTS | _BREAKS, (Role.SERVE,)),
    Fault("serve, again", 2, _SHUTS | _BREAKS, (Role.SERVE,), again=True),
    Fault("serve and shim", 2, _SHUTS | _BREAKS, (Role.SERVE, Role.SHIM)),
    Fault("serve and supervisor", 2, _ALL, (Role.SERVE, Role.SUPERVISOR)),
    Fault("serve and master", 1, _SHUTS | _BREAKS, (Role.SERVE, Role.MASTER)),
    Fault("all three", 3, _ALL, (Role.SERVE, *_BOTH), needs_cgroup=True),
)
GENTLE = tuple(fault for fault in FAULTS if not fault.is_harsh)
"""The faults that leave the supervisor alive."""
