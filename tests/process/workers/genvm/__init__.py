"""The built-in executor as a process."""
