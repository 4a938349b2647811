"""WebAssembly: compiling within bounds, running, stopping."""
