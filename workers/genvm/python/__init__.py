"""CPython for WASI, the guest of Python contracts."""
