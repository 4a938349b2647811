"""Benchmarks: `python -m benchmarks` prints one table and writes JSON.

Machines are noisy, so each figure is the median of several rounds with its range. The figure that
counts is the ratio to a plain alternative (a baseline), measured by turns with it in the same run.
"""
