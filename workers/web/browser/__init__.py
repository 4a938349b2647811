"""Chromium: one process for each worker, a context for each page."""
