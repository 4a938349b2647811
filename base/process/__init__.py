"""Processes: which one a pid means, waiting for one, ending it, signals, parents, threads.

What starts, waits for or ends processes anywhere in the product does it by these functions.
"""
