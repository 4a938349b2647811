"""Logs why its contract failed, as the built-in executor does, and ends."""

from __future__ import annotations

from executor_line import log

log(b'{"level":"error","message":"it failed","contract_error":"KeyError: 1"}')
log(b'{"level":"info","message":"more"}')
