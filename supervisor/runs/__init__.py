"""Runs: admitted, started, watched, ended, recorded."""
