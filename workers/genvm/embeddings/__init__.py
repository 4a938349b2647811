"""all-MiniLM-L6-v2 for contracts: texts as vectors, equal on every machine.

The arithmetic is `kernel.wasm` (source: `kernel.c`, built by `scripts/build-kernel`), the weights
are those that the extra `[embeddings]` of this project installs.
"""
