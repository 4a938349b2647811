"""The programs that do the work: modules, their pool, and the built-in executor."""
