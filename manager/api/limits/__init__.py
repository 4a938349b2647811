"""Limits on requests: time, and how many of one kind at once."""
