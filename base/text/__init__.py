"""Text: durations, moments and numbers as people write them, secrets, and what others wrote."""
