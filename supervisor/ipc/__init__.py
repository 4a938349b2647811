"""The Unix socket on which the supervisor is asked."""
