"""Addresses: hosts, ports, and listening on them."""
