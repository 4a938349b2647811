"""Messages between a pool and its workers."""
