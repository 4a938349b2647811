"""Why a service is not there."""

from __future__ import annotations


class ServiceFailed(Exception):
    """The service could not start or was given up. The message says why; it is empty when the
    supervisor has said so itself, on its stderr.
    """


class StopRequested(Exception):
    """A signal asked the service to stop before it was up."""
