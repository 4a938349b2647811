"""Measured work: `python -m benchmarks` prints one table and writes JSON.

Machines are noisy, so each figure is the median of several rounds with its range, and what matters
is a ratio to a plain alternative that is measured in turn with it, in the same run.
"""
