"""WASI preview 1, deterministic."""
