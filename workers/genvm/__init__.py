"""The built-in executor: one contract call in WebAssembly, then exit.

Source: docs/spec/06-contracts.md.
"""
