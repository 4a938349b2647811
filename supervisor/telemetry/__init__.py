"""What the supervisor tells of itself: its metrics, and when its status has changed."""
