"""The HTTP API, one file per resource; each offers `routes(client)`, a Flask blueprint."""
