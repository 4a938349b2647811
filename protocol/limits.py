"""Bounds that more than one process applies, each written down once."""

from __future__ import annotations

MAX_RUN_ID = (1 << 63) - 1
"""The largest id of a run, which is the largest integer of the store's database. Offsets into
artifacts have the same bound."""

MAX_WAIT = 120.0
"""Seconds for which one request may wait for a change, such as a run's end; a longer wait is
shortened to this (docs/spec/01-http-api.md#runs)."""

QUEUE_TIMEOUT = 3600.0
"""Seconds that a run may wait for its permits before its client has to try again."""

MODULE_TIMEOUT = 3600.0
"""Seconds for a module to start or stop, or for providers to be checked; the supervisor has
shorter timeouts of its own for these."""

MAX_CONTRACT_ERROR = 1000
"""Characters that are kept of why a contract ended with a VM error."""
