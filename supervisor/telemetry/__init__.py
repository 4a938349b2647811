"""What the supervisor tells of itself: log events and metrics."""
