"""The protocol of the supervisor's Unix socket.

A connection carries frames (see `genvm_manager.protocol.framing`) of MessagePack. The client sends
`Hello` and gets `Welcome`, then sends `commands` one at a time; each is answered by one of the
`replies`, which may be a `Failure`. Closing the connection abandons a command that only waits,
never one that changes something.
"""
