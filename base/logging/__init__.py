"""Logs: events with fields, one line each."""
