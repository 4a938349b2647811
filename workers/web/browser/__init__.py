"""Chromium: one browser for each worker, one context for each page."""
