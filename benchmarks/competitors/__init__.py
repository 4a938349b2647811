"""Other process supervisors, each in a virtual environment of its own.

The scripts beside this file run there, so they import nothing from this project. Each starts its
supervisor, prints `ready`, and for each line `CLIENTS SECONDS` that it reads prints how many runs
of /bin/true per second have finished. It stops at the end of its input.
"""
