"""Hands in its execution data as its result, prints its arguments and environment."""

from __future__ import annotations

import os
import sys

from executor_line import consume_result, log, stdin

log(b'{"level": "info", "message": "hello"}')
log(b"not json")
print("\n".join(sys.argv[1:]))
print("\n".join(f"{name}={value}" for name, value in os.environ.items()), file=sys.stderr)
consume_result(stdin())
