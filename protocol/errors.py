"""The error of every decoder whose input another process sent."""

from __future__ import annotations


class MalformedMessage(ValueError):
    """Bytes are not what the protocol allows at this place; the message names the field."""
