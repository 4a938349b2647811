"""The built-in executor: one contract call in WebAssembly, then exit (spec 06)."""
