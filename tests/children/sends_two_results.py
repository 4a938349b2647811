"""Hands in two results: the second breaks the protocol."""

from __future__ import annotations

from executor_line import consume_result

consume_result(b"first")
consume_result(b"second")
