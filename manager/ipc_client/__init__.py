"""Blocking connections to the supervisor."""
