"""Tests that the measuring of coverage itself would break."""

from __future__ import annotations

import os

import pytest

not_while_measured = pytest.mark.skipif(
    "COVERAGE_PROCESS_CONFIG" in os.environ,
    reason="coverage imports modules, handles SIGTERM and writes files in each process",
)
