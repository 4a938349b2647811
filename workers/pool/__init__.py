"""A supervised pool of worker processes: all of `workers` that the supervisor knows.

What runs in the workers is in the packages beside this one; the supervisor never imports it.
"""

from genvm_manager.workers.control.messages import Check, Logging
from genvm_manager.workers.worker.identity import Identity

from .check import check
from .listener import Address, Listener
from .pool import Pool, PoolOrder, WorkerView

__all__ = [
    "Address",
    "Check",
    "Identity",
    "Listener",
    "Logging",
    "Pool",
    "PoolOrder",
    "WorkerView",
    "check",
]
