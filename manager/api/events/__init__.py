"""`GET /events`: the service's status as a stream of server-sent events."""
