"""One run of the executor, from execution data to result."""
