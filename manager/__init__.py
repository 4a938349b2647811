"""HTTP and the command line: turns what clients say into commands for the supervisor."""
