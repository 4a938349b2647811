"""What can be changed while the supervisor runs."""
