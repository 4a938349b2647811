"""Chaos test: faults and load against a whole service, and an oracle that checks what it answers.

The oracle runs outside the service and knows what must be true whatever was done to it.
"""
