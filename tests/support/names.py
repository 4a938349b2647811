"""A machine on which `localhost` has the addresses of both families, as on most."""

from __future__ import annotations

LOCALHOST_OF_BOTH = """
import socket
_found = socket.getaddrinfo

def _both(host, port, *arguments, **named):
    addresses = ("127.0.0.1", "::1", "127.0.0.1") if host == "localhost" else (host,)
    return [each for one in addresses for each in _found(one, port, *arguments, **named)]

socket.getaddrinfo = _both
"""
"""For `sitecustomize.py`: what the tests' machine has in /etc/hosts does not matter then."""
