"""What both modules need for outgoing connections."""
