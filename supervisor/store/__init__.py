"""The state folder's files: the run store, its lock, the last run id."""
