"""The supervisor as a process: its command line, its shim, its service manager, its stop."""
