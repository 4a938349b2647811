"""Fuzzing: odd inputs for all that reads what others wrote (docs/architecture.md)."""
