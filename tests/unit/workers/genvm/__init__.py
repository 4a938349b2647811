"""Pure rules of the built-in executor."""
