"""The errors of the local node."""

from __future__ import annotations


class Refused(Exception):
    """The transaction cannot be made as it is; the message says why and what to do."""


class LocalNodeFailed(Exception):
    """The local node, or the service, could not do its part; the message says why."""
