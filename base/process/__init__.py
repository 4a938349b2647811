"""Processes: which one a pid means, signals, parents, threads, starting again."""
