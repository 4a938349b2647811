"""Executors and other programs that misbehave, or do exactly as they are told."""
