"""Other process supervisors, each in a virtual environment of its own.

The scripts beside this file run there, so they import nothing of ours. Each starts its supervisor,
prints `ready`, and for each line `CLIENTS SECONDS` that it reads prints how many runs a second of
/bin/true it has seen to their end. It stops at the end of its input.
"""
