"""The host protocol: what an executor asks of its hosts, byte by byte.

Source: docs/spec/04-executor.md#host-protocol.
"""
