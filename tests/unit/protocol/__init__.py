"""Pure rules of the wire formats."""
