"""A supervised pool of worker processes. This is all of `workers` that the supervisor imports.

What runs in the workers is in the packages beside this one.
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
