"""The supervisor as a process: its shim, its service manager, its stop."""
